/** The kinds of config store, each with what a test must do behind its back. */
import { readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { openStore } from '@arcus/control/open.ts';
import type { ConfigStore } from '@arcus/control/store.ts';
import { blobName, headName, RECORD, workerName } from '@arcus/control/stores/kubernetes-names.ts';
import { type EtcdServer, startEtcd } from '@arcus/testkit/etcd.ts';
import { startKube } from '@arcus/testkit/kube.ts';
import { tempDir } from '@arcus/testkit/temp.ts';

/** For one call: a machine that is busy stands still for seconds, and no test here is about a store that is away. */
const deadline = 30_000;

/** One kind, and what a test must do behind its back. */
export interface Place {
  open(): Promise<ConfigStore>;
  /** Writes bytes where the store keeps a tenant's newest head, without its help. */
  spoilHead(tenant: string): Promise<void>;
  spoilBlob(name: string, body: Buffer): Promise<void>;
  /** Makes a worker's lease run out, as if its process had been frozen for long. */
  expireWorker(id: string): Promise<void>;
  /** Writes nonsense in place of a worker's record. */
  spoilWorker(id: string): Promise<void>;
  /** Everything gone. */
  wipe(): Promise<void>;
  close(): Promise<void>;
}

async function etcdPlace(): Promise<Place> {
  const etcd: EtcdServer = await startEtcd();
  const prefix = '/arcus/v1/';
  return {
    open: () => openStore(etcd.url, { deadline }),
    spoilHead: (tenant) => etcd.put(`${prefix}heads/${tenant}`, 'not a head'),
    spoilBlob: (name, body) => etcd.put(`${prefix}blobs/${name}`, body),
    async expireWorker(id) {
      const key = Buffer.from(`${prefix}workers/${id}`).toString('base64');
      const { kvs } = await etcd.call('kv/range', { key });
      await etcd.call('lease/revoke', { ID: kvs[0].lease });
    },
    async spoilWorker(id) {
      const key = Buffer.from(`${prefix}workers/${id}`).toString('base64');
      await etcd.call('kv/put', { key, value: btoa('no record'), ignore_lease: true });
    },
    wipe: () => etcd.call('kv/deleterange', { key: btoa('/'), range_end: btoa('0') }),
    close: () => etcd.close(),
  };
}

async function filePlace(): Promise<Place> {
  const dir = tempDir('store');
  const root = `${dir.path}/store`;
  return {
    open: () => openStore(`file:${root}`),
    async spoilHead(tenant) {
      const numbers = readdirSync(`${root}/heads`)
        .filter((name) => name.startsWith(`${tenant}.`))
        .map((name) => Number(name.slice(tenant.length + 1)));
      writeFileSync(`${root}/heads/${tenant}.${Math.max(...numbers) + 1}`, 'not a head');
    },
    spoilBlob: async (name, body) => writeFileSync(`${root}/blobs/${name.slice(0, 2)}/${name}`, body),
    expireWorker: async (id) => utimesSync(`${root}/workers/${id}`, 1, 1),
    spoilWorker: async (id) => writeFileSync(`${root}/workers/${id}`, 'no record'),
    wipe: async () => rmSync(root, { recursive: true }),
    close: async () => dir.close(),
  };
}

/** Against a server that plays the API paths that are used, see packages/testkit/src/kube.ts. */
async function kubernetesPlace(): Promise<Place> {
  const kube = await startKube();
  const { storage } = kube;
  const change = (resource: string, namespace: string, name: string, changes: object) => {
    const now = storage.get(resource, namespace, name)!;
    storage.replace(resource, namespace, name, { ...now, ...changes });
  };
  return {
    open: () => openStore('kubernetes:?namespace=arcus&blobs=arcus-blobs', { kubeUrl: kube.url, deadline }),
    spoilHead: async (tenant) => change('configmaps', 'arcus', headName(tenant), { data: { head: 'not a head' } }),
    async spoilBlob(name, body) {
      const { apiVersion, kind, metadata } = storage.remove('configmaps', 'arcus-blobs', blobName(name));
      const { resourceVersion: _, ...rest } = metadata;
      const binaryData = { blob: body.toString('base64') };
      storage.create('configmaps', 'arcus-blobs', { apiVersion, kind, metadata: { ...rest } as any, binaryData });
    },
    async expireWorker(id) {
      const { spec } = storage.get('leases', 'arcus', workerName(id))!;
      // Later than any of these leases lasts, and too soon for it to be removed as a leftover.
      const renewTime = new Date(Date.now() - 50 * 60_000).toISOString().replace('Z', '000Z');
      change('leases', 'arcus', workerName(id), { spec: { ...spec, renewTime } });
    },
    async spoilWorker(id) {
      const { metadata } = storage.get('leases', 'arcus', workerName(id))!;
      const annotations = { ...metadata.annotations, [RECORD]: 'no record' };
      change('leases', 'arcus', workerName(id), { metadata: { ...metadata, annotations } });
    },
    async wipe() {
      const all = [
        ['leases', 'arcus'],
        ['configmaps', 'arcus'],
        ['configmaps', 'arcus-blobs'],
      ] as const;
      for (const [resource, namespace] of all) {
        for (const { metadata } of storage.list(resource, namespace)) {
          if (storage.get(resource, namespace, metadata.name)) storage.remove(resource, namespace, metadata.name);
        }
      }
    },
    close: () => kube.close(),
  };
}

/** Every kind there is. */
export const places = { etcd: etcdPlace, file: filePlace, kubernetes: kubernetesPlace } as const;
