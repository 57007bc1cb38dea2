/** For tests of the worker: a store in a folder, releases put into it, and a worker that runs them. */
import { openStore } from '@arcus/control/open.ts';
import { type HeadBody, SCHEMA, type TenantStatus } from '@arcus/control/release.ts';
import { cut } from '@arcus/control/sections.ts';
import type { ConfigStore } from '@arcus/control/store.ts';
import { publishRelease, testKeys } from '@arcus/testkit/keys.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { until } from '@arcus/testkit/until.ts';
import pino, { type Logger } from 'pino';
import { startWorker, type Worker } from './app.ts';
import { readWorkerEnv } from './env.ts';

export interface Config {
  servers?: object[];
  escapers?: object[];
  policies?: object[];
  resolvers?: object[];
  user_groups?: object[];
  auditors?: object[];
}

/** A config with one http_proxy server on 127.0.0.1 that may reach everything on loopback. */
export const proxyOn = (port: number, more: Config & { server?: object } = {}): Config => ({
  servers: [
    {
      name: 'web',
      type: 'http_proxy',
      listen: { address: `127.0.0.1:${port}` },
      escaper: 'direct',
      ...more.server,
    },
  ],
  escapers: [{ name: 'direct', type: 'direct_fixed', egress_allow: [{ network: '127.0.0.0/8' }] }],
  ...(({ server: _, ...families }) => families)(more),
});

/** Publishes a release of a tenant, signed; the head's `seq` is the version unless said. */
export async function publish(
  store: ConfigStore,
  tenant: string,
  version: number,
  config: Config,
  status: 'active' | 'inactive' | 'suspended' = 'active',
  head: Partial<HeadBody> = {},
  resource_limits: Record<string, number> = {},
): Promise<void> {
  const document = {
    tenant: { tenant_id: tenant, tenant_name: tenant, status, resource_limits },
    config: config as Record<string, unknown>,
  };
  const { sections, blobs, checksum } = await cut(document);
  await publishRelease(
    store,
    {
      ...{ schema: SCHEMA, tenant, version, sections, checksum },
      ...{ author: 'test', message: '', created_at: new Date().toISOString() },
    },
    blobs,
    head,
  );
}

/** The only worker's answer for a tenant, once it is `wanted`. */
export const answered = (
  store: ConfigStore,
  tenant: string,
  wanted: (status: TenantStatus) => boolean,
): Promise<TenantStatus> =>
  until(
    async () => {
      const [status] = (await store.listStatus(tenant)).values();
      return status && wanted(status) ? status : null;
    },
    { what: `the worker's answer for ${tenant}`, deadline: 60_000 },
  );

export const openFolder = (path: string): Promise<ConfigStore> => openStore(`file:${path}`);

/** A worker with its data in `data`, on a free admin port; what it decides is not logged. */
export async function workerOn(
  store: ConfigStore,
  data: string,
  env: Record<string, string> = {},
  log: Logger = pino({ level: process.env.ARCUS_LOG_LEVEL ?? 'silent' }),
): Promise<Worker & { get(path: string): Promise<Response> }> {
  const worker = await startWorker(
    readWorkerEnv({
      ARCUS_DATA: data,
      ARCUS_WORKER_ID: 'w1',
      ARCUS_ADMIN_LISTEN: `127.0.0.1:${await freePort()}`,
      ARCUS_STORE_URL: 'file:/nowhere',
      ARCUS_DECISION_LOG: 'off',
      ARCUS_VERIFY_KEYS: testKeys().env.ARCUS_VERIFY_KEYS,
      ARCUS_DRAIN_SECONDS: '5',
      ...env,
    }),
    { store, log },
  );
  // Each on a connection of its own: one that is kept may be ended by the worker just as it is taken again.
  const get = (path: string) => fetch(`http://${worker.admin}${path}`, { headers: { connection: 'close' } });
  return { ...worker, get };
}
