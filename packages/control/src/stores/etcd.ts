/** A config store in etcd (3.4 or later), spoken to over gRPC. */
import type { z } from 'zod';
import { checkBlob, decode, decodeManifest, encode, readHead } from '../codec.ts';
import { defaultPrefix, keys, SHA256, TENANT_ID, WORKER_ID } from '../keys.ts';
import { TenantStatus, WorkerRecord } from '../release.ts';
import { type ConfigStore, HeadConflict, HeadInvalid, StoreCorrupt } from '../store.ts';
import { EtcdClient, type EtcdClientOptions, RevisionGone, TooLarge } from './etcd-client.ts';
import { EtcdLease } from './etcd-lease.ts';
import { pagesOf } from './etcd-pages.ts';
import { EtcdReader } from './etcd-reader.ts';
import { type Compare, type KeyValue, methods, type RequestOp } from './etcd-rpc.ts';
import { watchHeads } from './etcd-watch.ts';

export interface EtcdStoreOptions extends EtcdClientOptions {
  /** Starts and ends with "/"; default `/arcus/v1/`. */
  prefix?: string | undefined;
}

/** etcd takes 128 operations in one transaction. */
const BATCH = 100;
/** Bytes of blobs in one transaction, which etcd takes up to 1.5 MiB. */
const ONE_STEP = 1024 * 1024;

/** Does not connect: a store that is away shows at the first call. */
export function openEtcdStore({ prefix = defaultPrefix, ...options }: EtcdStoreOptions): ConfigStore {
  const client = new EtcdClient(options);
  const where = keys(prefix);
  const closing = new AbortController();
  const leases = new Set<EtcdLease>();

  const bytes = (text: string) => Buffer.from(text);
  const blobKey = (name: string) => bytes(where.blob(checked(SHA256, name)));
  const manifestKey = (tenant: string, version: number) =>
    bytes(where.manifest(checked(TENANT_ID, tenant), Math.trunc(version)));
  const headKey = (tenant: string) => bytes(where.head(checked(TENANT_ID, tenant)));
  const absent = (key: Buffer): Compare => ({ result: 'EQUAL', target: 'CREATE', key, create_revision: '0' });
  const there = (key: Buffer): Compare => ({ result: 'GREATER', target: 'CREATE', key, create_revision: '0' });

  const reader = new EtcdReader(client);
  const get = (key: Buffer): Promise<KeyValue | null> =>
    reader.get(key).catch((error) => {
      throw error instanceof TooLarge ? new StoreCorrupt(`${key} is too large`) : error;
    });

  /** Stores a value unless there is one; gives the one that was there. */
  const putOnce = async (key: Buffer, value: Buffer): Promise<Buffer | null> => {
    const { succeeded, responses } = await client
      .call(methods.txn, {
        compare: [absent(key)],
        success: [{ request_put: { key, value } }],
        failure: [{ request_range: { key } }],
      })
      .catch((error) => {
        if (!(error instanceof TooLarge)) throw error;
        const kvs = [{ key, value: Buffer.alloc(0) }];
        return { succeeded: false, responses: [{ response_range: { kvs } }] };
      });
    return succeeded ? null : (responses[0]?.response_range?.kvs[0]?.value ?? null);
  };

  const deleteKeys = async (all: readonly Buffer[]): Promise<void> => {
    for (let i = 0; i < all.length; i += BATCH) {
      const ops = all.slice(i, i + BATCH).map((key): RequestOp => ({ request_delete_range: { key } }));
      await client.call(methods.txn, { success: ops });
    }
  };

  const list = async (below: string): Promise<KeyValue[]> => {
    for (;;) {
      try {
        const kvs: KeyValue[] = [];
        for await (const page of pagesOf(client, below)) kvs.push(...page.kvs);
        return kvs;
      } catch (error) {
        // Compacted between two pages: from the start.
        if (!(error instanceof RevisionGone)) throw error;
      }
    }
  };

  /** Changes a head if its revision is still `expected` (0: there is none); the revision it then has. */
  const moveHead = async (tenant: string, expected: string, value: Buffer | null): Promise<string> => {
    const key = headKey(tenant);
    const { succeeded, responses, header, again } = await client
      .call(methods.txn, {
        compare: [{ result: 'EQUAL', target: 'MOD', key, mod_revision: expected }],
        success: [value ? { request_put: { key, value } } : { request_delete_range: { key } }],
        failure: [{ request_range: { key } }],
      })
      .catch((error) => {
        throw error instanceof TooLarge ? new HeadConflict(tenant) : error;
      });
    if (succeeded) return header.revision;
    const now = responses[0]?.response_range?.kvs[0];
    // An attempt that gave no answer may have been carried out: then what we want is there.
    const done = again && (value ? now?.value.equals(value) : now === undefined);
    if (!done) throw new HeadConflict(tenant);
    return now?.mod_revision ?? header.revision;
  };

  return {
    kind: 'etcd',
    async putBlob(name, body) {
      checkBlob(name, body);
      const key = blobKey(name);
      const value = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
      const there = await putOnce(key, value);
      // What does not fit its name is damaged: this heals it.
      if (there && !there.equals(value)) await client.call(methods.txn, { success: [{ request_put: { key, value } }] });
    },
    async getBlobs(names) {
      const found = await Promise.all(names.map((name) => get(blobKey(name))));
      return new Map(
        names.map((name, i) => {
          const body = found[i]?.value;
          if (!body) throw new StoreCorrupt(`blob ${name} is missing`);
          checkBlob(name, body);
          // A body lies in the message it came with: whoever keeps it must not keep 64 KiB of others' with it.
          return [name, Buffer.from(body)];
        }),
      );
    },
    async missingBlobs(names) {
      const missing: string[] = [];
      for (let i = 0; i < names.length; i += BATCH) {
        const batch = names.slice(i, i + BATCH);
        const { responses } = await client.call(methods.txn, {
          success: batch.map((name) => ({ request_range: { key: blobKey(name), count_only: true } })),
        });
        missing.push(...batch.filter((_, index) => responses[index]?.response_range?.count !== '1'));
      }
      return missing;
    },
    async putManifest(manifest) {
      const { tenant, version } = manifest;
      const body = bytes(encode(manifest));
      const there = await putOnce(manifestKey(tenant, version), body);
      if (there && !there.equals(body)) {
        throw new StoreCorrupt(`manifest ${version} of ${tenant} exists and is another one`);
      }
    },
    async getManifest(tenant, version) {
      const kv = await get(manifestKey(tenant, version));
      return kv && decodeManifest(kv.value, tenant, version);
    },
    async getHead(tenant) {
      const key = headKey(tenant);
      let large = false;
      const kv = await reader.get(key).catch(async (error) => {
        if (!(error instanceof TooLarge)) throw error;
        large = true;
        return (await client.call(methods.range, { key, keys_only: true })).kvs[0] ?? null;
      });
      if (!kv) return null;
      const result = readHead(large ? null : kv.value, tenant);
      if ('reason' in result) throw new HeadInvalid(result.reason, kv.mod_revision);
      return { head: result.head, revision: kv.mod_revision };
    },
    putHead: (tenant, head, expected) => moveHead(tenant, expected ?? '0', bytes(encode(head))),
    deleteHead: async (tenant, expected) => void (await moveHead(tenant, expected, null)),
    async publish({ head, manifest, blobs, expected }) {
      const key = headKey(head.tenant);
      const names = new Set(manifest.sections.flatMap((section) => section.blobs));
      let size = 0;
      for (const [name, body] of blobs) {
        names.delete(name);
        checkBlob(name, body);
        size += body.length;
      }
      if (names.size > BATCH || blobs.size > BATCH || size > ONE_STEP) return null;
      const body = manifestKey(manifest.tenant, manifest.version);
      const { succeeded, header } = await client.call(methods.txn, {
        compare: [
          { result: 'EQUAL', target: 'MOD', key, mod_revision: expected },
          absent(body),
          ...[...names].map((name) => there(blobKey(name))),
        ],
        success: [
          ...[...blobs].map(([name, value]) => ({ request_put: { key: blobKey(name), value: Buffer.from(value) } })),
          { request_put: { key: body, value: bytes(encode(manifest)) } },
          { request_put: { key, value: bytes(encode(head)) } },
        ],
      });
      return succeeded ? header.revision : null;
    },
    watchHeads: (signal) => watchHeads(client, where.heads, AbortSignal.any([signal, closing.signal])),
    async leaseWorker(record, ttlSeconds, refused) {
      checked(WORKER_ID, record.id);
      const lease = await EtcdLease.open(client, where, record, ttlSeconds, refused);
      leases.add(lease);
      return lease;
    },
    async listWorkers() {
      const records: WorkerRecord[] = [];
      for (const kv of await list(where.workers)) {
        const record = readOrNull(WorkerRecord, kv);
        // One worker that writes nonsense hides itself, and no other.
        if (record && where.worker(record.id) === kv.key.toString()) records.push(record);
      }
      return records;
    },
    async listStatus(tenant) {
      checked(TENANT_ID, tenant);
      const ids = (await list(where.workers)).map((kv) => kv.key.toString().slice(where.workers.length));
      const found = new Map<string, TenantStatus>();
      for (let i = 0; i < ids.length; i += BATCH) {
        const batch = ids.slice(i, i + BATCH);
        const { responses } = await client.call(methods.txn, {
          success: batch.map((id) => ({ request_range: { key: bytes(where.status(id, tenant)) } })),
        });
        for (const [index, id] of batch.entries()) {
          const kv = responses[index]?.response_range?.kvs[0];
          const status = kv && readOrNull(TenantStatus, kv);
          if (status) found.set(id, status);
        }
      }
      return found;
    },
    deleteBlobs: (names) => deleteKeys(names.map(blobKey)),
    deleteManifests: (tenant, versions) => deleteKeys(versions.map((version) => manifestKey(tenant, version))),
    ping: async () => void (await client.call(methods.range, { key: bytes(where.heads), count_only: true })),
    async close() {
      closing.abort();
      await Promise.allSettled([...leases].map((lease) => lease.close()));
      client.close();
    },
  };
}

/** What a worker wrote, which may be anything. */
function readOrNull<T extends z.ZodType>(schema: T, { key, value }: KeyValue): z.output<T> | null {
  try {
    return decode(schema, value, key.toString());
  } catch (error) {
    if (!(error instanceof StoreCorrupt)) throw error;
    return null;
  }
}

/** Names become keys: nothing else may get through. */
function checked(pattern: RegExp, name: string): string {
  if (!pattern.test(name)) throw new TypeError(`${JSON.stringify(name)} is no name for this`);
  return name;
}
