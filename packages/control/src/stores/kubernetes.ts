/**
 * A config store in a Kubernetes namespace: heads, manifests and blobs are ConfigMaps, workers and what they run are
 * Leases. Which calls it makes, and so which rights it needs, is written down in deploy/kubernetes/rbac.yaml.
 */
import { checkBlob, decode, decodeManifest, encode } from '../codec.ts';
import type { Head } from '../release.ts';
import { TenantStatus, WorkerRecord } from '../release.ts';
import { type ConfigStore, HeadConflict, HeadInvalid, type Revision, StoreCorrupt, StoreRefused } from '../store.ts';
import { type Answer, faultOf, KubernetesClient, type KubernetesClientOptions, parse } from './kubernetes-client.ts';
import { KubernetesLease } from './kubernetes-lease.ts';
import {
  AnyObject,
  blobName,
  ConfigMap,
  headName,
  Lease,
  labelsOf,
  manifestName,
  NAMESPACE,
  RECORD,
  STATUSES,
  shardOf,
  statusName,
  workerName,
} from './kubernetes-names.ts';
import { headOf, watchHeads } from './kubernetes-watch.ts';

export interface KubernetesStoreOptions extends KubernetesClientOptions {
  /** Where heads and Leases are. */
  namespace: string;
  /** Where manifests and blobs are; default: the same. With one of their own, a list of heads reads past no blob. */
  blobs?: string | undefined;
}

/** Calls under way at once. */
const AT_ONCE = 16;
/** Milliseconds after which the Lease of a dead worker is removed. */
const FORGET = 3_600_000;

/** Does not connect: a store that is away shows at the first call. */
export function openKubernetesStore({ namespace, blobs = namespace, ...options }: KubernetesStoreOptions): ConfigStore {
  for (const name of [namespace, blobs]) {
    if (!NAMESPACE.test(name)) throw new TypeError(`${JSON.stringify(name)} is no namespace of Kubernetes`);
  }
  const client = new KubernetesClient(options);
  const headMaps = `/api/v1/namespaces/${namespace}/configmaps`;
  const blobMaps = `/api/v1/namespaces/${blobs}/configmaps`;
  const leaseObjects = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
  const closing = new AbortController();
  const leases = new Set<KubernetesLease>();

  const ping = async () => void (await client.page(headMaps, AnyObject, { limit: 1 }, { only: 'list of metadata' }));
  const now = () => client.now(ping);

  const read = async (path: string, name: string, large = false): Promise<ConfigMap | null> => {
    const { status, body } = await client.call('GET', `${path}/${name}`, { large });
    if (status === 404) return null;
    if (status !== 200) throw faultOf(status, body);
    return parse(ConfigMap, body, name);
  };

  const create = async (path: string, map: object, large = false): Promise<Answer> => {
    const answer = await client.call('POST', path, { body: { apiVersion: 'v1', kind: 'ConfigMap', ...map }, large });
    // There is no such namespace, or it is about to go.
    if (answer.status !== 201 && answer.status !== 409) throw faultOf(answer.status, answer.body);
    return answer;
  };

  /** Stores an immutable object unless there is one; gives the one that was there. */
  const createOnce = async (name: string, map: object): Promise<ConfigMap | null> => {
    for (;;) {
      const { status } = await create(blobMaps, map, true);
      if (status === 201) return null;
      const there = await read(blobMaps, name, true);
      if (there) return there;
    }
  };

  const remove = (path: string, name: string, preconditions: object = {}) =>
    client.call('DELETE', `${path}/${name}`, { body: { preconditions } });

  const removeAll = (names: readonly string[]) =>
    eachOf(names, async (name) => {
      const { status, body } = await remove(blobMaps, name);
      if (status !== 200 && status !== 404) throw faultOf(status, body);
    });

  /** After a refused compare-and-set: an attempt that gave no answer may have done what we want. */
  const settle = async (tenant: string, wanted: string | null): Promise<Revision> => {
    const there = await read(headMaps, headName(tenant));
    if (there?.data?.head !== (wanted ?? undefined)) throw new HeadConflict(tenant);
    return there?.metadata.resourceVersion ?? '';
  };

  const putHead = async (tenant: string, head: Head, expected: Revision | null): Promise<Revision> => {
    const name = headName(tenant);
    const data = { head: encode(head) };
    const metadata = { name, labels: labelsOf('head') };
    const answer =
      expected === null
        ? await create(headMaps, { metadata, data })
        : await client.call('PUT', `${headMaps}/${name}`, {
            body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { ...metadata, resourceVersion: expected }, data },
          });
    const { status, body, again } = answer;
    if (status === 200 || status === 201) return parse(ConfigMap, body, name).metadata.resourceVersion;
    if (!again) throw new HeadConflict(tenant);
    return settle(tenant, data.head);
  };

  /** Workers whose Lease is kept, and its holder: a process. */
  const liveWorkers = async (): Promise<{ record: WorkerRecord; holder: string }[]> => {
    // In one answer: there are few, and from its memory the server picks them without reading all others.
    const { items } = await client.list(leaseObjects, Lease, { labelSelector: 'arcus/kind=worker' });
    const time = await now();
    const live: { record: WorkerRecord; holder: string }[] = [];
    for (const { metadata, spec } of items) {
      // From the future: the servers' clock went back since.
      const age = Math.abs(time - Date.parse(spec?.renewTime ?? ''));
      if (!(age <= (spec?.leaseDurationSeconds ?? 0) * 1000)) {
        if (!(age <= FORGET)) await forget(metadata);
        continue;
      }
      try {
        const record = decode(WorkerRecord, metadata.annotations?.[RECORD] ?? '', metadata.name);
        if (workerName(record.id) === metadata.name) live.push({ record, holder: spec?.holderIdentity ?? '' });
      } catch (error) {
        // One worker that writes nonsense hides itself, and no other.
        if (!(error instanceof StoreCorrupt)) throw error;
      }
    }
    return live;
  };

  /** Kubernetes then removes its statuses. */
  const forget = async ({ name, uid, resourceVersion }: Lease['metadata']) => {
    try {
      await remove(leaseObjects, name, { uid, resourceVersion });
    } catch (error) {
      // Whoever may not do it only looks.
      if (!(error instanceof StoreRefused)) throw error;
    }
  };

  return {
    kind: 'kubernetes',
    async putBlob(hash, body) {
      checkBlob(hash, body);
      const name = blobName(hash);
      const content = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('base64');
      const map = { metadata: { name, labels: labelsOf('blob') }, immutable: true, binaryData: { blob: content } };
      for (;;) {
        const there = await createOnce(name, map);
        if (!there || (there.binaryData?.blob ?? '') === content) return;
        // What does not fit its name is damaged: this heals it. It can't be changed, only made anew.
        await remove(blobMaps, name, { uid: there.metadata.uid });
      }
    },
    async getBlobs(hashes) {
      const bodies = new Map<string, Uint8Array>();
      await eachOf(hashes, async (hash) => {
        const map = await read(blobMaps, blobName(hash), true);
        if (!map) throw new StoreCorrupt(`blob ${hash} is missing`);
        const body = Buffer.from(map.binaryData?.blob ?? '', 'base64');
        checkBlob(hash, body);
        bodies.set(hash, body);
      });
      return bodies;
    },
    async missingBlobs(hashes) {
      const missing = new Set<string>();
      await eachOf(hashes, async (hash) => {
        const { status, body } = await client.call('GET', `${blobMaps}/${blobName(hash)}`, { only: 'metadata' });
        if (status === 404) missing.add(hash);
        else if (status !== 200) throw faultOf(status, body);
      });
      return hashes.filter((hash) => missing.has(hash));
    },
    async putManifest(manifest) {
      const { tenant, version } = manifest;
      const name = manifestName(tenant, version);
      const data = { manifest: encode(manifest) };
      const there = await createOnce(name, {
        metadata: { name, labels: labelsOf('manifest') },
        immutable: true,
        data,
      });
      if (there && there.data?.manifest !== data.manifest) {
        throw new StoreCorrupt(`manifest ${version} of ${tenant} exists and is another one`);
      }
    },
    async getManifest(tenant, version) {
      const map = await read(blobMaps, manifestName(tenant, version), true);
      return map && decodeManifest(Buffer.from(map.data?.manifest ?? ''), tenant, version);
    },
    async getHead(tenant) {
      const map = await read(headMaps, headName(tenant));
      if (!map) return null;
      const { resourceVersion, labels } = map.metadata;
      const result = headOf(map, tenant);
      if ('reason' in result) throw new HeadInvalid(result.reason, resourceVersion);
      // No watch would ever see it.
      if (labels?.['arcus/kind'] !== 'head') throw new HeadInvalid(`head of ${tenant} lost its label`, resourceVersion);
      return { head: result.head, revision: resourceVersion };
    },
    putHead,
    async deleteHead(tenant, expected) {
      const answer = await remove(headMaps, headName(tenant), { resourceVersion: expected });
      if (answer.status === 200) return;
      if (!answer.again) throw new HeadConflict(tenant);
      await settle(tenant, null);
    },
    watchHeads: (signal) => watchHeads(client, headMaps, ping, AbortSignal.any([signal, closing.signal])),
    async leaseWorker(record, ttlSeconds) {
      workerName(record.id);
      const lease = await KubernetesLease.open(client, leaseObjects, now, record, ttlSeconds);
      leases.add(lease);
      return lease;
    },
    listWorkers: async () => (await liveWorkers()).map(({ record }) => record),
    async listStatus(tenant) {
      const shard = shardOf(tenant);
      const labelSelector = `arcus/kind=status,arcus/shard=${shard}`;
      const [live, { items }] = await Promise.all([liveWorkers(), client.list(leaseObjects, Lease, { labelSelector })]);
      const said = new Map(items.map((lease) => [lease.metadata.name, lease]));
      const found = new Map<string, TenantStatus>();
      for (const { record, holder } of live) {
        const lease = said.get(statusName(shard, record.id));
        // What names another holder was said by a process that is gone.
        const text = lease?.spec?.holderIdentity === holder ? lease.metadata.annotations?.[STATUSES] : undefined;
        const status = statusIn(text, tenant);
        if (status) found.set(record.id, status);
      }
      return found;
    },
    deleteBlobs: (hashes) => removeAll(hashes.map(blobName)),
    deleteManifests: (tenant, versions) => removeAll(versions.map((version) => manifestName(tenant, version))),
    ping,
    async close() {
      closing.abort();
      await Promise.allSettled([...leases].map((lease) => lease.close()));
      client.close();
    },
  };
}

function statusIn(text: string | undefined, tenant: string): TenantStatus | null {
  try {
    const all: unknown = JSON.parse(text ?? '{}');
    const status = Object.hasOwn(all as object, tenant) ? (all as Record<string, unknown>)[tenant] : undefined;
    return TenantStatus.safeParse(status).data ?? null;
  } catch {
    return null;
  }
}

/** The first failure ends it. */
async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: Math.min(AT_ONCE, items.length) }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}
