/** A release's rows: itself, its new blobs, and who owns these. */
import type { Manifest } from '@arcus/control/release.ts';
import { type Db, Prisma, type Tx } from '../../db/open.ts';
import type { RowChanges } from './rows.ts';

/** How much a release changed, in objects; each user counts as one, and so do the tenant's own fields. */
export interface Size {
  added: number;
  changed: number;
  removed: number;
}

export function sizeOf({ resources, users }: RowChanges, tenantChanged: boolean): Size {
  const size = {
    added: 0,
    changed: tenantChanged ? 1 : 0,
    removed: resources.removed.length + users.removed.length,
  };
  for (const { created } of resources.put) size[created ? 'added' : 'changed']++;
  for (const { created } of users.put) size[created ? 'added' : 'changed']++;
  return size;
}

export interface NewRelease {
  readonly manifest: Manifest;
  /** Blobs that the release before did not have; of a rollback, those that the tenant still owns are taken out. */
  readonly fresh: Map<string, Uint8Array>;
  /** It is not published. */
  readonly held: boolean;
  readonly size: Size;
  readonly restores: number | undefined;
}

/** The tenant's row must be locked. */
export async function insertRelease(db: Db, tx: Tx, release: NewRelease, at: Date): Promise<void> {
  if (release.restores !== undefined) await takeOwned(tx, release.manifest.tenant, release.fresh);
  for (const statement of releaseStatements(db.kind, release, at)) await tx.$executeRaw(statement);
}

/** Of a release that restores none. The tenant's row must be locked. */
export function* releaseStatements(kind: Db['kind'], release: NewRelease, at: Date): Generator<Prisma.Sql> {
  const { manifest, fresh, held, size, restores } = release;
  // In one order for all writers: tenants whose releases share a new blob must not wait for each other in a circle.
  const names = [...fresh.keys()].sort();
  let bytes = 0;
  for (let from = 0; from < names.length; from += 20) {
    const rows = names.slice(from, from + 20).map((name) => {
      bytes += fresh.get(name)!.length;
      return Prisma.sql`(${name}, ${fresh.get(name)!}, ${at})`;
    });
    // One that is there already is young again: the collector, which looks under the same lock, lets it be.
    const young = kind === 'mysql' ? 'ON DUPLICATE KEY UPDATE created_at = VALUES(created_at)' : newer;
    yield Prisma.sql`INSERT INTO blobs (sha256, body, created_at) VALUES ${Prisma.join(rows)} ${Prisma.raw(young)}`;
  }
  for (let from = 0; from < names.length; from += 500) {
    const rows = names.slice(from, from + 500).map((name) => Prisma.sql`(${name}, ${manifest.tenant})`);
    const same = kind === 'mysql' ? 'ON DUPLICATE KEY UPDATE sha256 = VALUES(sha256)' : 'ON CONFLICT DO NOTHING';
    yield Prisma.sql`INSERT INTO blob_owners (sha256, tenant_id) VALUES ${Prisma.join(rows)} ${Prisma.raw(same)}`;
  }
  const { tenant, version, checksum, author, message } = manifest;
  const state = held ? 'held' : 'pending';
  yield Prisma.sql`INSERT INTO releases
    (tenant_id, version, state, checksum, manifest, author, message, bytes, added, changed, removed, restores, created_at)
    VALUES (${tenant}, ${version}, ${state}, ${checksum}, ${JSON.stringify(manifest)}, ${author}, ${message}, ${bytes},
            ${size.added}, ${size.changed}, ${size.removed}, ${restores ?? null}, ${at})`;
}

const newer = 'ON CONFLICT (sha256) DO UPDATE SET created_at = excluded.created_at';

/** What a kept release of the tenant names is here and in the store: it need not be brought again. */
async function takeOwned(tx: Tx, tenant_id: string, fresh: Map<string, Uint8Array>): Promise<void> {
  const names = [...fresh.keys()];
  for (let from = 0; from < names.length; from += 500) {
    const sha256 = { in: names.slice(from, from + 500) };
    // The tenant's row is locked: it gives up nothing meanwhile.
    const owned = await tx.blobOwner.findMany({ where: { tenant_id, sha256 }, select: { sha256: true } });
    for (const { sha256: name } of owned) fresh.delete(name);
  }
}
