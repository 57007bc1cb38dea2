/**
 * A config store in a folder: for one machine, and for what a worker keeps of its last good releases. Several processes
 * may use it at once. All files are written beside, synced, then put in place by rename or link; each carries its hash.
 */
import { mkdir, readdir, stat } from 'node:fs/promises';
import { checkBlob, decodeManifest, encode } from '../codec.ts';
import { SHA256, TENANT_ID, WORKER_ID } from '../keys.ts';
import { type ConfigStore, StoreCorrupt } from '../store.ts';
import { openFileHeads } from './file-heads.ts';
import { codeOf, createWriter, guarded, readOrNull, remove, seal, unseal } from './file-io.ts';
import { openFileLeases } from './file-lease.ts';

export interface FileStoreOptions {
  /** False: writes may be lost in a power cut, but never be half there. For what can be fetched again. Default true. */
  fsync?: boolean;
}

/** `folder` is made with the first write. */
export function openFileStore(folder: string, { fsync = true }: FileStoreOptions = {}): ConfigStore {
  const writer = createWriter(`${folder}/drafts`, fsync);
  const volatile = createWriter(`${folder}/drafts`, false);
  const heads = openFileHeads(`${folder}/heads`, writer);
  const leases = openFileLeases(folder, volatile);
  const closing = new AbortController();

  const blobFile = (name: string) => `${folder}/blobs/${checked(SHA256, name).slice(0, 2)}/${name}`;
  const manifestFile = (tenant: string, version: number) =>
    `${folder}/manifests/${checked(TENANT_ID, tenant)}/${Math.trunc(version)}`;

  return {
    kind: 'file',
    putBlob: (name, body) =>
      guarded(async () => {
        checkBlob(name, body);
        const file = blobFile(name);
        if (await writer.create(file, body)) return;
        const there = await readOrNull(file);
        // What does not fit its name is damaged: this heals it.
        if (!there || Buffer.compare(there, body) !== 0) await writer.replace(file, body);
      }),
    getBlobs: (names) =>
      guarded(async () => {
        const bodies = new Map<string, Uint8Array>();
        await eachOf(names, async (name) => {
          const body = await readOrNull(blobFile(name));
          if (!body) throw new StoreCorrupt(`blob ${name} is missing`);
          checkBlob(name, body);
          bodies.set(name, body);
        });
        return bodies;
      }),
    missingBlobs: (names) =>
      guarded(async () => {
        const missing = new Set<string>();
        await eachOf(names, async (name) => {
          try {
            await stat(blobFile(name));
          } catch (error) {
            if (codeOf(error) !== 'ENOENT') throw error;
            missing.add(name);
          }
        });
        return names.filter((name) => missing.has(name));
      }),
    putManifest: (manifest) =>
      guarded(async () => {
        const { tenant, version } = manifest;
        const file = manifestFile(tenant, version);
        const body = encode(manifest);
        if (await writer.create(file, seal(body, 'manifest'))) return;
        const there = await readOrNull(file);
        if (there && unseal(there, `manifest ${version} of ${tenant}`).body.toString('utf8') !== body) {
          throw new StoreCorrupt(`manifest ${version} of ${tenant} exists and is another one`);
        }
      }),
    getManifest: (tenant, version) =>
      guarded(async () => {
        const bytes = await readOrNull(manifestFile(tenant, version));
        if (!bytes) return null;
        return decodeManifest(unseal(bytes, `manifest ${version} of ${tenant}`).body, tenant, version);
      }),
    getHead: (tenant) => heads.get(checked(TENANT_ID, tenant)),
    putHead: (tenant, head, expected) => heads.put(checked(TENANT_ID, tenant), head, expected),
    deleteHead: (tenant, expected) => heads.delete(checked(TENANT_ID, tenant), expected),
    watchHeads: (signal) => heads.watch(AbortSignal.any([signal, closing.signal])),
    leaseWorker: (record, ttlSeconds) => {
      checked(WORKER_ID, record.id);
      return leases.lease(record, ttlSeconds);
    },
    listWorkers: () => guarded(() => leases.workers()),
    listStatus: (tenant) => guarded(() => leases.statuses(checked(TENANT_ID, tenant))),
    deleteBlobs: (names) => guarded(() => eachOf(names, async (name) => void (await remove(blobFile(name))))),
    deleteManifests: (tenant, versions) =>
      guarded(() => eachOf(versions, async (version) => void (await remove(manifestFile(tenant, version))))),
    ping: () =>
      guarded(async () => {
        await mkdir(folder, { recursive: true, mode: 0o700 });
        await readdir(folder);
      }),
    async close() {
      closing.abort();
      await leases.close();
    },
  };
}

/** Names become file names: nothing else may get through. */
function checked(pattern: RegExp, name: string): string {
  if (!pattern.test(name)) throw new TypeError(`${JSON.stringify(name)} is no name for this`);
  return name;
}

/** At most 16 at once. */
async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: Math.min(16, items.length) }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}
