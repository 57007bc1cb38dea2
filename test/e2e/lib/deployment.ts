/** The two ways to run Arcus, behind one face: real processes, started as a person would. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Connection } from '@arcus/cli/connection.ts';
import { type Ready, readReady } from '@arcus/cli/up/ready.ts';
import { Child } from '@arcus/testkit/child.ts';
import { startEtcd } from '@arcus/testkit/etcd.ts';
import { testKeys } from '@arcus/testkit/keys.ts';
import { type MariaDbServer, startMariaDb } from '@arcus/testkit/mariadb.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { type RedisServer, startRedis } from '@arcus/testkit/redis.ts';
import { tempDir } from '@arcus/testkit/temp.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
export const cli = join(root, 'apps/cli/src/main.ts');

export interface Deployment {
  readonly mode: 'embedded' | 'clustered';
  readonly connection: Connection;
  /** The management service; in the embedded mode the same process as the worker. */
  readonly api: Child;
  readonly worker: Child;
  /** Starts one more worker on this machine; gone with the deployment. */
  addWorker(id: string, env?: Record<string, string>): Promise<Child>;
  /** The config store stops answering; what it holds stays. */
  storeAway(): Promise<void>;
  storeBack(): Promise<void>;
  /** Undefined where they are part of the process. */
  readonly redis: RedisServer | undefined;
  readonly database: MariaDbServer | undefined;
  close(): Promise<void>;
}

/** The environment of a test's processes: nothing of the caller's own Arcus gets in. */
export function cleanEnv(own: Record<string, string>): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('ARCUS_') && name !== 'NODE_TEST_CONTEXT',
  );
  return { ...Object.fromEntries(kept), ...own };
}

/** For a process to begin, on a machine that has much else to do, ms. */
export const START_MS = 120_000;

const ok = (url: string) => async () => (await fetch(url)).ok;

async function startWorkerProcess(env: Record<string, string>): Promise<Child> {
  const admin = `127.0.0.1:${await freePort()}`;
  return Child.start({
    command: process.execPath,
    args: [join(root, 'apps/worker/src/main.ts')],
    // One process takes its addresses for itself alone; more of them share theirs, with other workers too.
    env: cleanEnv({
      ARCUS_PROCESSES: '1',
      ARCUS_DECISION_LOG: 'off',
      ARCUS_DRAIN_SECONDS: '5',
      ...env,
      ARCUS_ADMIN_LISTEN: admin,
    }),
    ready: ok(`http://${admin}/ready`),
    deadline: START_MS,
  });
}

/** A running `arcus up` on free ports. */
export interface Up {
  readonly data: string;
  readonly env: Record<string, string>;
  readonly process: Child;
  readonly ready: Ready;
}

export async function startUp(data: string, more: Record<string, string> = {}): Promise<Up> {
  const address = async () => `127.0.0.1:${await freePort()}`;
  const env = {
    ARCUS_DATA: data,
    ARCUS_API_LISTEN: await address(),
    ARCUS_PROXY_LISTEN: await address(),
    ARCUS_ADMIN_LISTEN: await address(),
    ARCUS_HEALTH_LISTEN: await address(),
    ...more,
  };
  const process_ = await Child.start({
    command: process.execPath,
    args: [cli, 'up'],
    env: cleanEnv(env),
    ready: () => readReady(data) !== null,
    deadline: START_MS,
  });
  return { data, env, process: process_, ready: readReady(data)! };
}

export async function startEmbedded(): Promise<Deployment> {
  const dir = tempDir('e2e');
  const data = join(dir.path, 'data');
  const store = join(data, 'store');
  const lead = (to: string) => {
    symlinkSync(to, `${store}.next`);
    renameSync(`${store}.next`, store);
  };
  // A link, so that it is exchanged in one step: who looks in between would make a new, empty folder there.
  mkdirSync(join(data, 'kept'), { recursive: true, mode: 0o700 });
  writeFileSync(join(data, 'no-folder'), '');
  lead('kept');
  const up = await startUp(data);
  const more: Child[] = [];
  return {
    mode: 'embedded',
    connection: { api: new URL(up.ready.api), token: up.ready.admin_token },
    api: up.process,
    worker: up.process,
    redis: undefined,
    database: undefined,
    async addWorker(id, env = {}) {
      const worker = await startWorkerProcess({
        ARCUS_WORKER_ID: id,
        ARCUS_DATA: join(dir.path, id),
        ARCUS_STORE_URL: `file:${store}`,
        ARCUS_SECRET_KEY_FILE: join(data, 'secret.key'),
        ARCUS_VERIFY_KEYS_FILE: join(data, 'signing.pub'),
        ...env,
      });
      more.push(worker);
      return worker;
    },
    // A file where the folder was: every access fails.
    storeAway: async () => lead('no-folder'),
    storeBack: async () => lead('kept'),
    async close() {
      for (const child of [...more, up.process]) await child.close();
      dir.close();
    },
  };
}

export async function startClustered(): Promise<Deployment> {
  const dir = tempDir('e2e');
  const open: { close(): unknown }[] = [dir];
  const close = async () => {
    for (const one of open.splice(0).reverse()) await one.close();
  };
  const kept = async <T extends { close(): unknown }>(starting: Promise<T>): Promise<T> => {
    const one = await starting;
    open.push(one);
    return one;
  };
  try {
    const [database, etcd, redis] = await all([kept(startMariaDb()), kept(startEtcd()), kept(startRedis())]);
    const listen = `127.0.0.1:${await freePort()}`;
    const shared = {
      ARCUS_DATABASE_URL: database.url,
      ARCUS_STORE_URL: etcd.url,
      ARCUS_REDIS_URL: redis.url,
      ARCUS_SECRET_KEY: randomBytes(32).toString('base64'),
      ...testKeys().env,
      ARCUS_DATA: dir.path,
    };
    const apiEnv = cleanEnv({ ...shared, ARCUS_API_LISTEN: listen });
    const api = await kept(
      Child.start({
        command: process.execPath,
        args: [join(root, 'apps/api/src/main.ts')],
        env: apiEnv,
        ready: ok(`http://${listen}/api/v1/health`),
        deadline: START_MS,
      }),
    );
    const token = execFileSync(process.execPath, [cli, 'token', 'create', '--local'], {
      env: apiEnv,
      encoding: 'utf8',
    });
    const addWorker = (id: string, more = {}) =>
      kept(startWorkerProcess({ ...shared, ARCUS_WORKER_ID: id, ARCUS_DATA: join(dir.path, id), ...more }));
    return {
      mode: 'clustered',
      connection: { api: new URL(`http://${listen}`), token: token.trim() },
      api,
      worker: await addWorker('worker-a', { ARCUS_PROCESSES: '2' }),
      redis,
      database,
      addWorker,
      storeAway: () => etcd.process.kill('SIGKILL'),
      storeBack: () => etcd.process.start(),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** As Promise.all, but waits for all of them when one fails: what started late must be closed too. */
async function all<const T extends readonly Promise<unknown>[]>(starting: T) {
  await Promise.allSettled(starting);
  return Promise.all(starting);
}
