import { canonicalHash } from './canonical.ts';
import { fault } from './faults.ts';
import { type Head, Manifest, type ReleaseRef } from './release.ts';
import { type Document, join, type PartCache } from './sections.ts';
import type { Verifier } from './sign.ts';
import { type ConfigStore, HeadConflict, HeadInvalid, type Revision, StoreCorrupt } from './store.ts';

/** What a head says of a manifest: SHA-256 of its canonical JSON. */
export function manifestHash(manifest: Manifest): string {
  return canonicalHash(manifest);
}

/** Gives the bodies of these blobs; only of those that the store misses. */
export type BlobSource = (sha256: readonly string[]) => Promise<ReadonlyMap<string, Uint8Array>>;

/**
 * Brings what a release is made of into the store: the blobs that it misses, then the manifest. May be repeated at any
 * time, also after a crash between any two steps, and by several processes at once.
 */
export async function putRelease(
  store: ConfigStore,
  manifest: Manifest,
  blobs: ReadonlyMap<string, Uint8Array> | BlobSource,
): Promise<void> {
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
    fault('publish.amid-blobs');
  }
  fault('publish.after-blobs');
  await store.putManifest(manifest).catch(async (error) => {
    if (!(error instanceof StoreCorrupt)) throw error;
    // Damaged, or not ours: no head that workers believe names it.
    await store.deleteManifests(tenant, [version]);
    await store.putManifest(manifest);
  });
  fault('publish.after-manifest');
}

/**
 * Writes each of a release's blobs again that is missing or is not what its name says; answers how many. Reads all of
 * them: for repairs, not for publishing.
 */
export async function mendBlobs(store: ConfigStore, manifest: Manifest, source: BlobSource): Promise<number> {
  const names = [...new Set(manifest.sections.flatMap((section) => section.blobs))];
  let mended = 0;
  for (let i = 0; i < names.length; i += 16) {
    const damaged: string[] = [];
    for (const name of names.slice(i, i + 16)) {
      try {
        await store.getBlobs([name]);
      } catch (error) {
        if (!(error instanceof StoreCorrupt)) throw error;
        damaged.push(name);
      }
    }
    for (const [name, body] of await source(damaged)) await store.putBlob(name, body);
    mended += damaged.length;
  }
  return mended;
}

/**
 * Moves a tenant's head by compare-and-set; the releases that it names must be in the store. Never moves it back:
 * 'superseded' when a head with this or a higher `seq` is there. What `verifier` does not believe counts for nothing.
 * `moved` hears of the revision that the head then has.
 */
export async function moveHead(
  store: ConfigStore,
  head: Head,
  verifier: Verifier,
  moved: (revision: Revision) => void = () => {},
): Promise<'published' | 'superseded'> {
  for (;;) {
    const now = await headNow(store, head.tenant, verifier);
    if (now && (now.seq > head.seq || (now.seq === head.seq && now.key === head.signature.key))) return 'superseded';
    try {
      moved(await store.putHead(head.tenant, head, now?.revision ?? null));
      return 'published';
    } catch (error) {
      if (!(error instanceof HeadConflict)) throw error;
    }
  }
}

/** A head that makes no sense, or that nobody signed, counts as number 0: the database knows better. */
async function headNow(store: ConfigStore, tenant: string, verifier: Verifier) {
  try {
    const now = await store.getHead(tenant);
    if (!now) return null;
    const { head, revision } = now;
    const believed = (await verifier.check(head, tenant)) === null;
    return { seq: believed ? head.seq : 0, key: head.signature.key, revision };
  } catch (error) {
    if (error instanceof HeadInvalid) return { seq: 0, key: '', revision: error.revision };
    throw error;
  }
}

/**
 * The release that a head names (see `chosen`), every hash checked on the way. StoreCorrupt when a part is missing or altered. With
 * a `cache` kept between calls, unchanged parts are neither fetched nor parsed again (see `join`).
 */
export async function loadRelease(
  store: Pick<ConfigStore, 'getManifest' | 'getBlobs'>,
  tenant: string,
  release: ReleaseRef,
  cache?: PartCache,
): Promise<{ manifest: Manifest; document: Document }> {
  const { version, manifest: expected } = release;
  const manifest = await store.getManifest(tenant, version);
  if (!manifest) throw new StoreCorrupt(`manifest ${version} of ${tenant} is missing`);
  if (manifestHash(manifest) !== expected) throw new StoreCorrupt(`manifest ${version} of ${tenant} was altered`);
  return { manifest, document: await join(manifest, (names) => store.getBlobs(names), cache) };
}
