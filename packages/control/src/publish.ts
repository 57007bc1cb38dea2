import { canonicalHash } from './canonical.ts';
import { type Head, Manifest, SCHEMA } from './release.ts';
import { type Document, join, type PartCache } from './sections.ts';
import { type ConfigStore, HeadConflict, HeadInvalid, StoreCorrupt } from './store.ts';

/** What a head says of a manifest: SHA-256 of its canonical JSON. */
export function manifestHash(manifest: Manifest): string {
  return canonicalHash(manifest);
}

/** Gives the bodies of these blobs; only of those that the store misses. */
export type BlobSource = (sha256: readonly string[]) => Promise<ReadonlyMap<string, Uint8Array>>;

/**
 * Brings a release to the workers: the blobs that the store misses, the manifest, then the head by compare-and-set.
 * May be repeated at any time, also after a crash between any two steps, and by several processes at once. Never moves
 * a head back: 'superseded' when it names this or a newer version already.
 */
export async function publishRelease(
  store: ConfigStore,
  manifest: Manifest,
  blobs: ReadonlyMap<string, Uint8Array> | BlobSource,
): Promise<'published' | 'superseded'> {
  const { tenant, version } = Manifest.parse(manifest);
  const source: BlobSource = typeof blobs === 'function' ? blobs : async () => blobs;
  const needed = [...new Set(manifest.sections.flatMap((section) => section.blobs))];
  const missing = await store.missingBlobs(needed);
  for (let i = 0; i < missing.length; i += 16) {
    const batch = missing.slice(i, i + 16);
    const bodies = await source(batch);
    await Promise.all(
      batch.map((name) => {
        const body = bodies.get(name);
        if (!body) throw new StoreCorrupt(`blob ${name} of ${tenant} ${version} is not at hand`);
        return store.putBlob(name, body);
      }),
    );
  }
  await store.putManifest(manifest);
  const next: Head = { schema: SCHEMA, stable: { version, manifest: manifestHash(manifest) } };
  for (;;) {
    const now = await headNow(store, tenant);
    if (now && now.version >= version) return 'superseded';
    try {
      await store.putHead(tenant, next, now?.revision ?? null);
      return 'published';
    } catch (error) {
      if (!(error instanceof HeadConflict)) throw error;
    }
  }
}

/** A head that makes no sense counts as version 0: the database knows better. */
async function headNow(store: ConfigStore, tenant: string) {
  try {
    const now = await store.getHead(tenant);
    return now && { version: now.head.stable.version, revision: now.revision };
  } catch (error) {
    if (error instanceof HeadInvalid) return { version: 0, revision: error.revision };
    throw error;
  }
}

/**
 * The release that a head names, every hash checked on the way. StoreCorrupt when a part is missing or altered. With
 * a `cache` kept between calls, unchanged parts are neither fetched nor parsed again (see `join`).
 */
export async function loadRelease(
  store: Pick<ConfigStore, 'getManifest' | 'getBlobs'>,
  tenant: string,
  head: Head,
  cache?: PartCache,
): Promise<{ manifest: Manifest; document: Document }> {
  const { version, manifest: expected } = head.stable;
  const manifest = await store.getManifest(tenant, version);
  if (!manifest) throw new StoreCorrupt(`manifest ${version} of ${tenant} is missing`);
  if (manifestHash(manifest) !== expected) throw new StoreCorrupt(`manifest ${version} of ${tenant} was altered`);
  return { manifest, document: await join(manifest, (names) => store.getBlobs(names), cache) };
}
