/**
 * Thousands of tenants at once, as the management service would have made them one by one: the same cut, the same rows,
 * the same way to the store; only with many tenants in one transaction.
 */

import { migrate } from '@arcus/api/db/migrate.ts';
import { type Db, openDb, Prisma } from '@arcus/api/db/open.ts';
import { Changes } from '@arcus/api/features/releases/change.ts';
import { claimsOf } from '@arcus/api/features/releases/listen.ts';
import { rowChanges, writeRows } from '@arcus/api/features/releases/rows.ts';
import { ensureGlobal } from '@arcus/api/features/tenants/global.ts';
import { ensureAdminToken } from '@arcus/api/features/tokens/store.ts';
import { openStore } from '@arcus/control/open.ts';
import type { Manifest } from '@arcus/control/release.ts';
import { createSealer } from '@arcus/control/seal.ts';
import { type Cut, cut } from '@arcus/control/sections.ts';
import { entriesOf } from '@arcus/gateway/check.ts';
import { configOf, emptyConfig, parseEntries } from '@arcus/gateway/config.ts';
import { run } from '@arcus/gateway/slices.ts';
import type { TestKeys } from '@arcus/testkit/keys.ts';
import { publishRelease } from '@arcus/testkit/keys.ts';
import { documentOf, tenantId } from './tenants.ts';

export interface SeedOptions {
  database: string;
  store: string;
  secretKey: Uint8Array;
  keys: TestKeys;
  tenants: number;
  rules: number;
}

/** Tenants of one transaction. */
const PART = 250;
/** Releases on their way to the store at once. */
const PARALLEL = 32;

/** Makes the tenants, each with one published release. Answers an admin token. */
export async function seed(options: SeedOptions): Promise<string> {
  await migrate(options.database);
  const db = await openDb(options.database);
  const store = await openStore(options.store);
  const now = Date.now();
  try {
    await ensureGlobal(db, now);
    const token = await ensureAdminToken(db);
    const pattern = await firstTenant(db, options, now);
    for (let from = 0; from < options.tenants; from += PART) {
      const made: Made[] = [];
      for (let i = from; i < Math.min(options.tenants, from + PART); i++) {
        const config = parsed(documentOf(i, options.rules));
        const tenant = { ...pattern.tenant, tenant_id: tenantId(i), tenant_name: tenantId(i) };
        const parts = await cut({ tenant, config });
        made.push({ index: i, config, parts });
      }
      const manifests = made.map(({ index, parts }): Manifest => {
        return { ...pattern.manifest, tenant: tenantId(index), sections: parts.sections, checksum: parts.checksum };
      });
      if (from === 0) {
        made.shift();
        manifests.shift();
      }
      await insert(db, pattern.row, made, manifests, new Date(now));
      const queue = manifests.entries();
      const work = async () => {
        for (const [i, manifest] of queue) {
          await publishRelease(store, manifest, made[i]!.parts.blobs, { seq: pattern.seq }, options.keys);
        }
      };
      await Promise.all(Array.from({ length: PARALLEL }, work));
    }
    return token!;
  } finally {
    await store.close();
    await db.close();
  }
}

interface Made {
  index: number;
  config: ReturnType<typeof parsed>;
  parts: Cut;
}

const parsed = (document: object) => configOf(run(parseEntries(document)).entries);

/** The first tenant goes the usual way; the others are made in its likeness. */
async function firstTenant(db: Db, options: SeedOptions, now: number) {
  const changes = new Changes({ db, sealer: createSealer(options.secretKey), now: () => now });
  const config = parsed(documentOf(0, options.rules));
  const { state, release } = await changes.apply({
    ...{ tenant_id: tenantId(0), actor: 'bench', request_id: 'bench', message: '', action: 'tenant.create' },
    target: tenantId(0),
    create: true,
    edit: ({ document }) => ({ tenant: document.tenant, entries: entriesOf(config), faults: [] }),
  });
  changes.close();
  const store = await openStore(options.store);
  const seq = Number(state.row.seq);
  await publishRelease(store, release!.manifest, release!.blobs, { seq }, options.keys);
  await store.close();
  await db.client.release.updateMany({
    where: { tenant_id: tenantId(0) },
    data: { state: 'published', published_at: new Date(now) },
  });
  return { row: state.row, seq, tenant: state.document.tenant, manifest: release!.manifest };
}

async function insert(
  db: Db,
  pattern: Prisma.TenantModel,
  made: readonly Made[],
  manifests: readonly Manifest[],
  at: Date,
): Promise<void> {
  const blobs = new Map(made.flatMap(({ parts }) => [...parts.blobs]));
  await db.write(async (tx) => {
    await tx.tenant.createMany({
      data: made.map(({ index }) => ({
        ...pattern,
        ...{ tenant_id: tenantId(index), tenant_name: tenantId(index) },
        resource_limits: pattern.resource_limits as Prisma.InputJsonObject,
        metadata: pattern.metadata as Prisma.InputJsonObject,
        placement: Prisma.DbNull,
        leaving: Prisma.DbNull,
      })),
    });
    for (const { index, config } of made) {
      await writeRows(db, tx, tenantId(index), rowChanges(emptyConfig(), config), pattern.changes, at);
    }
    const rows = [...blobs].map(([name, body]) => Prisma.sql`(${name}, ${body}, ${at})`);
    for (let from = 0; from < rows.length; from += 100) {
      const values = Prisma.join(rows.slice(from, from + 100));
      await tx.$executeRaw`INSERT INTO blobs (sha256, body, created_at) VALUES ${values}
                           ON DUPLICATE KEY UPDATE sha256 = sha256`;
    }
    await tx.blobOwner.createMany({
      data: made.flatMap(({ index, parts }) =>
        [...parts.blobs.keys()].map((sha256) => ({ sha256, tenant_id: tenantId(index) })),
      ),
    });
    await tx.release.createMany({
      data: manifests.map((manifest) => ({
        ...{ tenant_id: manifest.tenant, version: manifest.version, state: 'published', checksum: manifest.checksum },
        ...{ manifest: JSON.stringify(manifest), author: manifest.author, message: manifest.message },
        ...{ bytes: 0, added: 3, changed: 0, removed: 0, created_at: at, published_at: at },
      })),
    });
    const claims = made.flatMap(({ index, config }) =>
      claimsOf(config).map(({ host, port, server }) => ({ tenant_id: tenantId(index), host, port, server })),
    );
    await tx.listenPort.createMany({
      data: [...new Set(claims.map(({ port }) => port))].map((port) => ({ port })),
      skipDuplicates: true,
    });
    await tx.listenAddress.createMany({ data: claims });
  });
}
