/** A whole deployment of real processes that a scenario may hurt, with writers and clients at work all the time. */
import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Connection } from '@arcus/cli/connection.ts';
import type { FaultPoint } from '@arcus/control/faults.ts';
import { openStore } from '@arcus/control/open.ts';
import type { ConfigStore } from '@arcus/control/store.ts';
import { Child } from '@arcus/testkit/child.ts';
import { type EtcdServer, startEtcd } from '@arcus/testkit/etcd.ts';
import { testKeys } from '@arcus/testkit/keys.ts';
import { type MariaDbServer, startMariaDb } from '@arcus/testkit/mariadb.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { type RedisServer, startRedis } from '@arcus/testkit/redis.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until } from '@arcus/testkit/until.ts';
import { cleanEnv } from '../../e2e/lib/deployment.ts';
import { Clients } from './clients.ts';
import type { Place } from './config.ts';
import { Writer } from './writer.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const clock = new URL('./clock.mjs', import.meta.url).href;
const run = promisify(execFile);

export interface LabOptions {
  /** Of etcd; default 1. */
  readonly members?: number;
  /** Default 2. */
  readonly tenants?: number;
  /** Where tenants listen; default 127.0.0.1. */
  readonly listen?: string;
  /** Where what runs here can be reached by workers; default 127.0.0.1. */
  readonly here?: string;
  /** Default 2; 0: no worker of the lab's own. */
  readonly workers?: number;
}

export interface WorkerOptions {
  readonly env?: Record<string, string>;
  /** Where its listeners are reached; default 127.0.0.1. */
  readonly host?: string;
  /** What starts it, before the program: a namespace, a limit. */
  readonly wrap?: (command: string, args: readonly string[]) => { command: string; args: readonly string[] };
}

export interface LabWorker {
  readonly id: string;
  readonly host: string;
  readonly process: Child;
  /** May be changed between two starts. */
  readonly env: NodeJS.ProcessEnv;
  readonly admin: string;
  /** Folder with its snapshot. */
  readonly data: string;
  readonly decisions: string;
}

/** From `from` to `to` nobody expects answers of this worker. */
export interface Outage {
  readonly worker: string;
  readonly from: number;
  to: number;
}

export class Lab {
  readonly folder: string;
  readonly places: readonly Place[];
  readonly database: MariaDbServer;
  readonly etcd: EtcdServer;
  readonly redis: RedisServer;
  readonly api: Child;
  readonly apiEnv: NodeJS.ProcessEnv;
  readonly connection: Connection;
  readonly store: ConfigStore;
  readonly workers: LabWorker[] = [];
  readonly writer: Writer;
  readonly clients = new Clients();
  readonly outages: Outage[] = [];
  /** All have to run the newest release so soon after a fault is over, and a restarted worker has to serve, ms. */
  barMs = 5000;
  readonly #shared: Record<string, string>;
  readonly #close: (() => unknown)[];

  private constructor(parts: Parts, close: (() => unknown)[]) {
    this.folder = parts.folder;
    this.places = parts.places;
    this.database = parts.database;
    this.etcd = parts.etcd;
    this.redis = parts.redis;
    this.api = parts.api;
    this.apiEnv = parts.apiEnv;
    this.connection = parts.connection;
    this.store = parts.store;
    this.writer = new Writer(parts.connection, parts.places);
    this.#shared = parts.shared;
    this.#close = close;
  }

  /** Everything is up, every tenant served, nobody writes or browses yet. */
  static async start(options: LabOptions = {}): Promise<Lab> {
    // Each process that it starts has one.
    process.setMaxListeners(100);
    const close: (() => unknown)[] = [];
    try {
      const lab = new Lab(await startParts(options, close), close);
      close.push(() => lab.clients.stop());
      for (let i = 0; i < (options.workers ?? 1); i++) await lab.addWorker(`worker-${i}`);
      for (const place of lab.places) if (lab.workers.length > 0) await lab.writer.create(place);
      return lab;
    } catch (error) {
      await closeAll(close);
      throw error;
    }
  }

  async addWorker(id: string, { env = {}, host = '127.0.0.1', wrap }: WorkerOptions = {}): Promise<LabWorker> {
    const listen = `${host}:${await freePort()}`;
    const data = join(this.folder, id);
    const decisions = join(this.folder, `${id}.decisions`);
    const all = cleanEnv({
      ...this.#shared,
      ARCUS_PROCESSES: '1',
      ARCUS_WORKER_ID: id,
      ARCUS_DATA: data,
      ARCUS_ADMIN_LISTEN: listen,
      ARCUS_DECISION_LOG: decisions,
      ARCUS_DRAIN_SECONDS: '2',
      ...env,
    });
    const program = { command: process.execPath, args: [join(root, 'apps/worker/src/main.ts')] };
    const started = await Child.start({
      ...(wrap?.(program.command, program.args) ?? program),
      env: all,
      ready: ok(`http://${listen}/ready`),
      deadline: 120_000,
    });
    this.#close.push(() => started.close());
    const worker = { id, host, process: started, env: all, admin: `http://${listen}`, data, decisions };
    this.workers.push(worker);
    return worker;
  }

  /** Writers and clients begin. */
  #browsing = new Set<string>();

  begin({ writeMs = 150, browseMs = 40 } = {}): void {
    this.writer.start(writeMs);
    for (const worker of this.workers) {
      if (this.#browsing.has(worker.id)) continue;
      this.#browsing.add(worker.id);
      for (const place of this.places) this.clients.add(worker, place, browseMs);
    }
  }

  /** All processes of it that run now. */
  get pids(): number[] {
    const stores = [...this.etcd.members, this.redis.process, this.database.process];
    return [this.api, ...stores, ...this.workers.map((worker) => worker.process)]
      .filter((child) => child.running)
      .map((child) => child.pid);
  }

  /** Ends a worker the hard way and starts it again, with `env` for that start. */
  async restartWorker(worker: LabWorker, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.withoutWorker(worker, async () => {
      await worker.process.restart(signal);
    });
  }

  /** Nobody expects answers of the worker while this goes on. */
  async withoutWorker(worker: LabWorker, work: () => Promise<void>): Promise<void> {
    const outage: Outage = { worker: worker.id, from: performance.now(), to: Number.POSITIVE_INFINITY };
    this.outages.push(outage);
    try {
      await work();
    } finally {
      outage.to = performance.now();
    }
  }

  /** The process begins anew and dies when it passes the point for the nth time. False: it did not pass so often. */
  async dieAt(
    child: Child,
    env: NodeJS.ProcessEnv,
    point: FaultPoint,
    nth: number,
    patience: number,
  ): Promise<boolean> {
    env.ARCUS_FAULT = `${point}:${nth}`;
    env.ARCUS_FAULTS = '1';
    // One that dies at once was never ready.
    await child.restart('SIGKILL').catch((error) => {
      if (!/SIGKILL/.test(error.message)) throw error;
    });
    const died = await until(() => !child.running, { deadline: patience }).catch(() => false);
    delete env.ARCUS_FAULT;
    delete env.ARCUS_FAULTS;
    if (died) await child.start();
    else await child.restart('SIGKILL');
    return died !== false;
  }

  /** The wall clock of management service and workers is off by so many ms. */
  setClock(ms: number): void {
    writeFileSync(join(this.folder, 'clock'), `${ms}`);
  }

  /** Rows of the database, each column a text. */
  async sql(statement: string): Promise<string[][]> {
    const { stdout } = await run('mariadb', [...this.sqlArgs, '-N', '-B', '-e', statement], {
      maxBuffer: 256 * 1024 * 1024,
    });
    return stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split('\t'));
  }

  get sqlArgs(): string[] {
    return ['--no-defaults', '-h127.0.0.1', `-P${this.database.port}`, '-uarcus', '-parcus', 'arcus'];
  }

  async close(): Promise<void> {
    await this.writer.stop();
    await closeAll(this.#close);
  }
}

interface Parts {
  folder: string;
  places: Place[];
  database: MariaDbServer;
  etcd: EtcdServer;
  redis: RedisServer;
  api: Child;
  apiEnv: NodeJS.ProcessEnv;
  connection: Connection;
  store: ConfigStore;
  shared: Record<string, string>;
}

async function startParts(options: LabOptions, close: (() => unknown)[]): Promise<Parts> {
  const { members = 1, tenants = 2, listen = '127.0.0.1', here = '127.0.0.1' } = options;
  const dir = tempDir('chaos');
  close.push(dir.close);
  const kept = async <T extends { close(): unknown }>(starting: Promise<T>): Promise<T> => {
    const one = await starting;
    close.push(() => one.close());
    return one;
  };
  // Room for the largest nonsense that scenarios write, again and again.
  const args = ['--max-request-bytes=67108864', '--quota-backend-bytes=8589934592'];
  const starting = [kept(startMariaDb()), kept(startEtcd({ members, args })), kept(startRedis())] as const;
  await Promise.allSettled(starting);
  const [database, etcd, redis] = await Promise.all(starting);
  const parent = await startParent(here);
  close.push(parent.close);
  const places: Place[] = [];
  for (let i = 0; i < tenants; i++) {
    places.push({ tenant: `t${i}`, host: listen, port: await freePort(), parent: parent.address });
  }
  const at = `127.0.0.1:${await freePort()}`;
  const shared = {
    ARCUS_DATABASE_URL: database.url,
    ARCUS_STORE_URL: etcd.url,
    ARCUS_REDIS_URL: redis.url,
    ARCUS_SECRET_KEY: randomBytes(32).toString('base64'),
    ...testKeys().env,
    ARCUS_DATA: dir.path,
    ARCUS_TEST_CLOCK: join(dir.path, 'clock'),
    NODE_OPTIONS: `--disable-warning=ExperimentalWarning --import=${clock}`,
  };
  // The checker reads old releases.
  const apiEnv = cleanEnv({ ...shared, ARCUS_API_LISTEN: at, ARCUS_RELEASES_KEPT: '100000' });
  const api = await kept(
    Child.start({
      command: process.execPath,
      args: [join(root, 'apps/api/src/main.ts')],
      env: apiEnv,
      ready: ok(`http://${at}/api/v1/health`),
      deadline: 120_000,
    }),
  );
  const cli = join(root, 'apps/cli/src/main.ts');
  const token = execFileSync(process.execPath, [cli, 'token', 'create', '--local'], { env: apiEnv, encoding: 'utf8' });
  const connection = { api: new URL(`http://${at}`), token: token.trim() };
  const store = await openStore(etcd.url);
  close.push(() => store.close());
  return { folder: dir.path, places, database, etcd, redis, api, apiEnv, connection, store, shared };
}

/** The next proxy of everybody: answers each request with the user name that it was shown. */
async function startParent(host: string) {
  const port = await freePort();
  const server = createServer((request, response) => {
    const [, shown = ''] = /^Basic (.*)$/.exec(request.headers['proxy-authorization'] ?? '') ?? [];
    response.end(Buffer.from(shown, 'base64').toString('latin1').replace(/:$/, ''));
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  return {
    address: `${host}:${port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

const ok = (url: string) => async () => (await fetch(url, { signal: AbortSignal.timeout(2000) })).ok;

async function closeAll(close: (() => unknown)[]): Promise<void> {
  for (const one of close.splice(0).reverse()) await one();
}
