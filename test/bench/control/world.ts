/** Real MariaDB, etcd and Redis with tenants in them; api and worker as processes of their own beside them. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { Child } from '@arcus/testkit/child.ts';
import { type EtcdServer, startEtcd } from '@arcus/testkit/etcd.ts';
import { newKeys } from '@arcus/testkit/keys.ts';
import { type MariaDbServer, startMariaDb } from '@arcus/testkit/mariadb.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { type RedisServer, startRedis } from '@arcus/testkit/redis.ts';
import type { Lab } from '../lab.ts';
import { root } from '../root.ts';
import { ApiClient } from './api-client.ts';
import { type Monitor, monitored } from './monitor.ts';
import { seed } from './seed.ts';

export interface WorldOptions {
  tenants: number;
  /** Rules of each tenant's policy. */
  rules: number;
}

/** A running api. */
export interface Api {
  readonly pid: number;
  readonly client: ApiClient;
  readonly monitor: Monitor;
}

/** A running worker. */
export interface Worker {
  readonly pid: number;
  readonly id: string;
  /** ms from its start until /ready said yes. */
  readonly bootMs: number;
  readonly monitor: Monitor;
  /** Numbers of /metrics by name. */
  metric(name: string): Promise<number>;
  /** How often it logged a message, of what fits into the last 64 KiB. */
  said(message: string): number;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export interface WorkerOptions {
  id?: string;
  /** A folder that is kept between two starts. */
  data?: string;
  processes?: number;
  /** Seconds to drain. */
  drain?: number;
  env?: Record<string, string>;
}

export class World {
  readonly options: WorldOptions;
  readonly maria: MariaDbServer;
  readonly etcd: EtcdServer;
  readonly redis: RedisServer;
  readonly #env: Record<string, string>;
  readonly #token: string;

  private constructor(
    options: WorldOptions,
    servers: { maria: MariaDbServer; etcd: EtcdServer; redis: RedisServer },
    env: Record<string, string>,
    token: string,
  ) {
    this.options = options;
    this.maria = servers.maria;
    this.etcd = servers.etcd;
    this.redis = servers.redis;
    this.#env = env;
    this.#token = token;
  }

  static async open(options: WorldOptions): Promise<World> {
    const [maria, etcd, redis] = await Promise.all([startMariaDb({ durable: true }), startEtcd(), startRedis()]);
    const secretKey = randomBytes(32);
    const keys = newKeys();
    const token = await seed({ database: maria.url, store: etcd.url, secretKey, keys, ...options });
    const env = {
      ARCUS_DATABASE_URL: maria.url,
      ARCUS_STORE_URL: etcd.url,
      ARCUS_REDIS_URL: redis.url,
      ARCUS_SECRET_KEY: secretKey.toString('base64'),
      ...keys.env,
      ARCUS_LOG_LEVEL: 'warn',
      NODE_ENV: 'production',
      PATH: process.env.PATH ?? '',
    };
    return new World(options, { maria, etcd, redis }, env, token);
  }

  async startApi(lab: Lab): Promise<Api> {
    const port = await freePort();
    const monitor = await monitored();
    const child = await Child.start({
      command: process.execPath,
      args: [...nodeArgs, ...monitor.args, ...lab.nodeOptions, join(root, 'apps/api/src/main.ts')],
      env: { ...this.#env, ...monitor.env, ARCUS_API_LISTEN: `127.0.0.1:${port}` },
      ready: async () => (await fetch(`http://127.0.0.1:${port}/api/v1/health`)).status < 600,
      deadline: 60_000,
    });
    const client = new ApiClient(port, this.#token);
    lab.keep({
      close: async () => {
        client.close();
        await child.kill('SIGTERM');
      },
    });
    return { pid: child.pid, client, monitor };
  }

  async startWorker(lab: Lab, options: WorkerOptions = {}): Promise<Worker> {
    const { id = 'bench', data = lab.path(`worker-${id}`), processes = 1, drain = 0 } = options;
    const admin = await freePort();
    const monitor = await monitored();
    let looked = false;
    const ready = async () => {
      const { ok } = await fetch(`http://127.0.0.1:${admin}/ready`);
      // Its modules are loaded: what the event loop is held by from now on is its work.
      if (!looked && processes === 1) await monitor.look();
      looked = true;
      return ok;
    };
    const started = performance.now();
    const child = await Child.start({
      command: process.execPath,
      args: [...nodeArgs, ...monitor.args, ...lab.nodeOptions, join(root, 'apps/worker/src/main.ts')],
      env: {
        ...this.#env,
        ...monitor.env,
        ARCUS_WORKER_ID: id,
        ARCUS_DATA: data,
        ARCUS_ADMIN_LISTEN: `127.0.0.1:${admin}`,
        ARCUS_PROCESSES: String(processes),
        ARCUS_DRAIN_SECONDS: String(drain),
        ARCUS_DECISION_LOG: 'off',
        ...options.env,
      },
      ready,
      deadline: 120_000,
    });
    const bootMs = performance.now() - started;
    const stop = (signal: NodeJS.Signals = 'SIGTERM') => child.kill(signal);
    lab.keep({ close: () => stop() });
    return {
      ...{ pid: child.pid, id, bootMs, monitor, stop },
      said: (message) => child.output.split(message).length - 1,
      async metric(name) {
        const text = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
        return Number(new RegExp(`^${name}(?:{[^}]*})? (.*)$`, 'm').exec(text)?.[1]);
      },
    };
  }

  async close(): Promise<void> {
    await Promise.all([this.maria.close(), this.etcd.close(), this.redis.close()]);
  }
}

const nodeArgs = ['--disable-warning=ExperimentalWarning'];

const worlds = new Map<string, Promise<World>>();

/** The same world for all rows that want the same tenants: filling one takes its time. */
export function sharedWorld(options: WorldOptions): Promise<World> {
  const key = JSON.stringify(options);
  let world = worlds.get(key);
  if (!world) {
    world = World.open(options);
    worlds.set(key, world);
  }
  return world;
}

export async function closeWorlds(): Promise<void> {
  const open = [...worlds.values()];
  worlds.clear();
  for (const world of open) await (await world).close();
}

/** Lets this process and what it starts use all the machine's cores: here nothing is compared with a neighbour. */
export function useAllCores(): void {
  const cores = `0-${cpus().length - 1}`;
  execFileSync('taskset', ['-acp', cores, String(process.pid)], { stdio: 'ignore' });
}
