/** Arcus as it runs in production: a worker process, a published release, everything switched on. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { openStore } from '@arcus/control/open.ts';
import { SCHEMA } from '@arcus/control/release.ts';
import { createSealer } from '@arcus/control/seal.ts';
import { cut } from '@arcus/control/sections.ts';
import { hashPassword } from '@arcus/gateway/password.ts';
import { publishRelease, testKeys } from '@arcus/testkit/keys.ts';
import { startRedis } from '@arcus/testkit/redis.ts';
import { AUTHORIZATION, blockedHosts, PASSWORD, RULES, USER } from './duties.ts';
import { freePort, type Lab, type ProxyUnderTest } from './lab.ts';
import { root } from './root.ts';

export interface ArcusOptions {
  name?: string;
  /** Hosts in the policy. */
  rules?: number;
  /** Ports that CONNECT may name. */
  connectPorts?: readonly number[];
  processes?: number;
  /** Where it may run: on the core of the proxy under test, or on both. */
  cores?: 'own' | 'both';
}

const TENANT = 'bench';

export async function startArcus(lab: Lab, options: ArcusOptions = {}): Promise<ProxyUnderTest> {
  const { name = 'arcus', rules = RULES, connectPorts = [443], processes = 1, cores = 'own' } = options;
  const port = await freePort();
  const admin = await freePort();
  const key = randomBytes(32);
  const store = `file:${lab.path(`${name}-store`)}`;
  await publish(store, await config(port, rules, connectPorts, key));
  const redis = lab.keep(await startRedis());
  const log = lab.path(`${name}-decisions.log`);
  const worker = join(root, 'apps/worker/src/main.ts');
  const child = await lab.start(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', ...lab.nodeOptions, worker],
    {
      measured: cores === 'both' ? 'both' : true,
      // A profile is written at an orderly end.
      gentle: true,
      env: {
        PATH: process.env.PATH,
        NODE_ENV: 'production',
        ARCUS_DATA: lab.path(`${name}-data`),
        ARCUS_WORKER_ID: name.replaceAll(' ', '-'),
        ARCUS_ADMIN_LISTEN: `127.0.0.1:${admin}`,
        ARCUS_STORE_URL: store,
        ARCUS_REDIS_URL: redis.url,
        ARCUS_SECRET_KEY: key.toString('base64'),
        ARCUS_VERIFY_KEYS: testKeys().env.ARCUS_VERIFY_KEYS,
        ARCUS_DECISION_LOG: log,
        ARCUS_LOG_LEVEL: 'warn',
        ARCUS_PROCESSES: String(processes),
        ARCUS_DRAIN_SECONDS: '0',
      },
      ready: async () => {
        const { ok } = await fetch(`http://127.0.0.1:${admin}/ready`);
        if (!ok) return false;
        const answers = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
        if (/^arcus_tenants_refused 1$/m.test(answers)) throw new Error('the release was refused');
        return /^arcus_tenants 1$/m.test(answers);
      },
    },
  );
  return {
    ...{ name, port, pid: child.pid, authorization: AUTHORIZATION, tunnels: 'connect', logs: [log], warmSeconds: 3 },
  };
}

async function config(port: number, rules: number, connectPorts: readonly number[], key: Uint8Array) {
  const sealer = createSealer(key);
  const place = `${TENANT}/user_groups/staff/static_users/${USER}/password_hash`;
  return {
    servers: [
      {
        name: 'web',
        type: 'http_proxy',
        listen: { address: `127.0.0.1:${port}` },
        escaper: 'router',
        user_group: 'staff',
        connect_ports: connectPorts,
      },
    ],
    escapers: [
      { name: 'direct', type: 'direct_fixed', egress_allow: [{ network: '127.0.0.0/8' }, { network: '::1' }] },
      { name: 'deny', type: 'dummy_deny' },
      {
        name: 'router',
        type: 'route_upstream',
        rules: [{ child_match: ['internal.example', 'corp.example'], next: 'deny' }],
        fallback_next: 'direct',
      },
    ],
    user_groups: [
      {
        name: 'staff',
        type: 'basic',
        static_users: [{ name: USER, password_hash: sealer.seal(await hashPassword(PASSWORD), place) }],
      },
    ],
    policies: [
      {
        name: 'sites',
        type: 'url_filter',
        rules: blockedHosts(rules).map(({ host, children }) =>
          children ? { child_match: host, action: 'block' } : { exact_match: host, action: 'block' },
        ),
      },
    ],
  };
}

async function publish(url: string, document: Record<string, unknown>): Promise<void> {
  const store = await openStore(url);
  const tenant = { tenant_id: TENANT, tenant_name: TENANT, status: 'active', resource_limits: {} };
  const { sections, blobs, checksum } = await cut({ tenant, config: document });
  const created_at = new Date().toISOString();
  await publishRelease(
    store,
    { schema: SCHEMA, tenant: TENANT, version: 1, sections, checksum, author: 'bench', message: '', created_at },
    blobs,
  );
  await store.close();
}
