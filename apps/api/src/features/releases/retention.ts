/**
 * How long releases are kept, and the collector of what no kept release names: in the database and in the store.
 * A worker may be slow: what it may still be loading stays for a while after the release was replaced. A blob is
 * deleted under the lock that whoever brings it again takes, too; so either sees what the other did.
 */

import type { ConfigStore } from '@arcus/control/store.ts';
import { HeadInvalid, StoreUnavailable } from '@arcus/control/store.ts';
import type { FastifyBaseLogger } from 'fastify';
import { type Db, isAway, Prisma, type Tx } from '../../db/open.ts';

export interface RetentionRules {
  /** Releases of a tenant that are kept. */
  readonly kept: number;
  /** Days after which a release that was replaced goes, even when there are fewer. */
  readonly days: number;
}

export interface RetentionDeps {
  readonly db: Db;
  readonly store: ConfigStore;
  /** ms since the epoch. */
  readonly now: () => number;
  readonly log: FastifyBaseLogger;
  readonly rules: RetentionRules;
  /** What else has its time: drafts, workers that are gone. */
  readonly expire: () => Promise<unknown>;
}

export interface Swept {
  releases: number;
  blobs: number;
}

/** What was replaced less than this ago is not touched, ms: a worker may be loading it. */
export const GRACE_MS = 10 * 60_000;
const DAY = 86_400_000;
/** What one turn looks at, so that it costs little however much there is. */
const TENANTS = 500;
const BLOBS = 5_000;
/** Rows of one transaction. */
const RELEASES = 200;
const BATCH = 64;
const EVERY_MS = 15_000;

export class Retention {
  readonly #deps: RetentionDeps;
  /** Where the next turn goes on. */
  #tenant = '';
  #blob = '';
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(deps: RetentionDeps) {
    this.#deps = deps;
  }

  /** A part of all there is about every `everyMs`, spread so that processes don't march in step. */
  start(everyMs = EVERY_MS): void {
    if (this.#closed) return;
    this.#timer = setTimeout(
      () => {
        this.#running = this.#turn().finally(() => this.start(everyMs));
      },
      everyMs * (0.75 + Math.random() / 2),
    );
    this.#timer.unref();
  }

  /** Finishes what runs. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
    clearTimeout(this.#timer);
  }

  /** All of it, once. */
  async sweep(): Promise<Swept> {
    const swept = { releases: 0, blobs: 0 };
    this.#tenant = '';
    this.#blob = '';
    do swept.releases += await this.#tenants(swept);
    while (this.#tenant !== '');
    await this.#deleted();
    do swept.blobs += await this.#orphans();
    while (this.#blob !== '');
    return swept;
  }

  async #turn(): Promise<void> {
    const { log, expire } = this.#deps;
    try {
      await expire();
      const swept = { releases: 0, blobs: 0 };
      swept.releases += await this.#tenants(swept);
      await this.#deleted();
      swept.blobs += await this.#orphans();
      if (swept.releases + swept.blobs > 0) log.info(swept, 'old releases removed');
    } catch (error) {
      const away = error instanceof StoreUnavailable || isAway(error);
      log[away ? 'debug' : 'error']({ err: error }, 'old releases stay for now');
    }
  }

  /** The next tenants' old releases; answers how many went. */
  async #tenants(swept: Swept): Promise<number> {
    const { db, now, rules } = this.#deps;
    const groups = await db.client.release.groupBy({
      by: ['tenant_id'],
      where: { tenant_id: { gt: this.#tenant } },
      _count: true,
      _min: { created_at: true },
      orderBy: { tenant_id: 'asc' },
      take: TENANTS,
    });
    const old = now() - rules.days * DAY;
    let removed = 0;
    for (const { tenant_id, _count, _min } of groups) {
      if (this.#closed) break;
      if (_count <= rules.kept && (_min.created_at?.getTime() ?? 0) > old) continue;
      const trimmed = await this.trim(tenant_id);
      removed += trimmed.releases;
      swept.blobs += trimmed.blobs;
    }
    this.#tenant = groups.length === TENANTS ? groups.at(-1)!.tenant_id : '';
    return removed;
  }

  /** A tenant's old releases, and the blobs that they alone had. */
  async trim(tenant_id: string): Promise<Swept> {
    const { db, store } = this.#deps;
    const doomed = await this.#doomed(tenant_id);
    if (doomed.length === 0) return { releases: 0, blobs: 0 };
    // Oldest first, so that the history has no hole when this stops half-way. From the store first: the rows say what
    // is still to be done.
    const rest = doomed.toReversed();
    while (rest.length > RELEASES) {
      if (this.#closed) return { releases: doomed.length - rest.length, blobs: 0 };
      const versions = rest.splice(0, RELEASES);
      await store.deleteManifests(tenant_id, versions);
      await db.write((tx) => forget(tx, tenant_id, versions));
    }
    await store.deleteManifests(tenant_id, rest);
    return { releases: doomed.length, blobs: await this.#collect(await this.#disown(tenant_id, rest)) };
  }

  /** Versions that may go, newest first. What a head names never does, nor what came after it. */
  async #doomed(tenant_id: string): Promise<number[]> {
    const { db, store, now, rules } = this.#deps;
    const tenant = await db.client.tenant.findUnique({ where: { tenant_id }, select: { stable_version: true } });
    if (!tenant) return [];
    let floor = tenant.stable_version;
    try {
      const head = (await store.getHead(tenant_id))?.head;
      // A head that is not there yet is on its way: what it will name, the database knows.
      floor = Math.min(floor, head?.stable.version ?? floor, head?.rollout?.version ?? floor);
    } catch (error) {
      // Somebody mends it; then there is a next time.
      if (error instanceof HeadInvalid) return [];
      throw error;
    }
    const rows = await db.client.release.findMany({
      where: { tenant_id },
      orderBy: { version: 'desc' },
      select: { version: true, created_at: true },
    });
    const at = now();
    /** When the next newer release was made that the clock of today believes: by then this one was replaced. */
    let replaced = Number.POSITIVE_INFINITY;
    let first = rows.length;
    for (const [i, { version, created_at }] of rows.entries()) {
      const age = at - replaced;
      const goes = version < floor && age >= GRACE_MS && (i >= rules.kept || age >= rules.days * DAY);
      // Clocks jump: only what has nothing older behind it that stays may go, or the history had a hole.
      if (!goes) first = i + 1;
      if (created_at.getTime() <= at) replaced = created_at.getTime();
    }
    return rows.slice(first).map(({ version }) => version);
  }

  /** The tenant's last doomed releases go, and it gives up blobs that none of its others names; answers which. */
  async #disown(tenant_id: string, versions: number[]): Promise<string[]> {
    const { db } = this.#deps;
    const read = (client: Db['client'] | Tx, version: Prisma.IntFilter) =>
      client.release.findMany({
        where: { tenant_id, version },
        orderBy: { version: 'asc' },
        select: { version: true, manifest: true },
      });
    // Most are read before anybody has to wait.
    const named = new Set<string>();
    const seen = name(named, await read(db.client, { notIn: versions }));
    return db.write(async (tx) => {
      await lock(db, tx, tenant_id);
      await forget(tx, tenant_id, versions);
      const all = new Set(named);
      name(all, await read(tx, { gt: seen }));
      const owned = await tx.blobOwner.findMany({ where: { tenant_id }, select: { sha256: true } });
      const given = owned.map(({ sha256 }) => sha256).filter((sha256) => !all.has(sha256));
      for (let from = 0; from < given.length; from += 500) {
        await tx.blobOwner.deleteMany({ where: { tenant_id, sha256: { in: given.slice(from, from + 500) } } });
      }
      return given;
    });
  }

  /** Deletes those of these blobs that nobody owns and that no release brought lately; answers how many. */
  async #collect(names: readonly string[]): Promise<number> {
    const { db, store, now } = this.#deps;
    const before = new Date(now() - GRACE_MS);
    // In the order in which writers lock them.
    const sorted = [...names].sort();
    let count = 0;
    for (let from = 0; from < sorted.length && !this.#closed; from += BATCH) {
      const part = sorted.slice(from, from + BATCH);
      count += await db.write(async (tx) => {
        const sha256 = await lockBlobs(db, tx, part, before);
        const owned = await tx.blobOwner.findMany({
          where: { sha256: { in: sha256 } },
          distinct: ['sha256'],
          select: { sha256: true },
        });
        const kept = new Set(owned.map((row) => row.sha256));
        const doomed = sha256.filter((name) => !kept.has(name));
        if (doomed.length === 0) return 0;
        await store.deleteBlobs(doomed);
        await tx.blob.deleteMany({ where: { sha256: { in: doomed } } });
        return doomed.length;
      });
    }
    return count;
  }

  /** The next blobs that lost all their owners: of tenants that were deleted, and what a crash left behind. */
  async #orphans(): Promise<number> {
    const { db, now } = this.#deps;
    const after = this.#blob;
    const [last] = await db.client.blob.findMany({
      where: { sha256: { gt: after } },
      orderBy: { sha256: 'asc' },
      skip: BLOBS - 1,
      take: 1,
      select: { sha256: true },
    });
    const before = new Date(now() - GRACE_MS);
    const end = last?.sha256 ?? 'g';
    const rows = await db.client.$queryRaw<{ sha256: string }[]>`SELECT b.sha256 FROM blobs b
      WHERE b.sha256 > ${after} AND b.sha256 <= ${end} AND b.created_at < ${before}
      AND NOT EXISTS (SELECT 1 FROM blob_owners o WHERE o.sha256 = b.sha256)`;
    this.#blob = last?.sha256 ?? '';
    return this.#collect(rows.map((row) => row.sha256));
  }

  /** Manifests of tenants that were deleted: their rows went with them, but versions are counted. */
  async #deleted(): Promise<void> {
    const { db, store, now } = this.#deps;
    const before = new Date(now() - GRACE_MS);
    const rows = await db.client.deletedTenant.findMany({
      where: { swept: false, head_removed: true, deleted_at: { lt: before } },
      take: TENANTS,
    });
    for (const { tenant_id, version, deleted_at } of rows) {
      for (let from = 1; from <= version && !this.#closed; from += RELEASES) {
        const count = Math.min(RELEASES, version - from + 1);
        await store.deleteManifests(
          tenant_id,
          Array.from({ length: count }, (_, i) => from + i),
        );
      }
      if (this.#closed) return;
      await db.client.deletedTenant.updateMany({ where: { tenant_id, deleted_at }, data: { swept: true } });
    }
  }
}

/** Adds the blobs that these releases name; answers the newest version. */
function name(named: Set<string>, releases: readonly { version: number; manifest: string }[]): number {
  for (const { manifest } of releases) {
    const { sections } = JSON.parse(manifest) as { sections: { blobs: string[] }[] };
    for (const section of sections) for (const sha256 of section.blobs) named.add(sha256);
  }
  return releases.at(-1)?.version ?? 0;
}

/** These releases, and how they were rolled out. */
async function forget(tx: Tx, tenant_id: string, versions: number[]): Promise<void> {
  const where = { tenant_id, version: { in: versions } };
  await tx.rollout.deleteMany({ where });
  await tx.release.deleteMany({ where });
}

/** The tenant makes no release meanwhile. SQLite has one writer at a time anyway. */
async function lock(db: Db, tx: Tx, tenant_id: string): Promise<void> {
  if (db.kind === 'mysql') await tx.$queryRaw`SELECT version FROM tenants WHERE tenant_id = ${tenant_id} FOR UPDATE`;
}

async function lockBlobs(db: Db, tx: Tx, names: readonly string[], before: Date): Promise<string[]> {
  if (db.kind === 'mysql') {
    await tx.$queryRaw`SELECT sha256 FROM blobs WHERE sha256 IN (${Prisma.join(names)}) ORDER BY sha256 FOR UPDATE`;
  }
  const rows = await tx.blob.findMany({
    where: { sha256: { in: [...names] }, created_at: { lt: before } },
    select: { sha256: true },
  });
  return rows.map((row) => row.sha256);
}
