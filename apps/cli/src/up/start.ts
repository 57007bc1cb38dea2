/** The composition root of `arcus up`: api, one worker and, unless named, everything they need, in one process. */
import { join } from 'node:path';
import { parseEnv } from '@arcus/api/env.ts';
import { type RunningApi, StartError, startApi } from '@arcus/api/start.ts';
import { openStoreFromEnv, StoreEnv } from '@arcus/control/open.ts';
import { ensureSecretKeyFile } from '@arcus/control/seal.ts';
import { ensureKeyFiles, loadSigner, SigningEnv } from '@arcus/control/sign.ts';
import { startWorker, type Worker } from '@arcus/worker/app.ts';
import { readWorkerEnv } from '@arcus/worker/env.ts';
import { pino } from 'pino';
import { CommandError, NO } from '../command.ts';
import { adminToken } from './admin-token.ts';
import { ensureDemo } from './demo.ts';
import { HEALTH_PATH, serveHealth } from './health.ts';
import { Locked, lock } from './lock.ts';
import { privateFolder } from './private-file.ts';
import { demoProxy } from './proxy.ts';
import { type Ready, removeReady, writeReady } from './ready.ts';
import { startEmbeddedRedis } from './redis.ts';
import { parseAddress, reachable, type Settings, text } from './settings.ts';

export interface Running {
  readonly ready: Ready;
  /** The admin token, when this start made it. */
  readonly newToken: string | null;
  /** Lets sessions end until the drain time is over; `now` cuts them, also in a close that runs already. */
  close(options?: { now?: boolean }): Promise<void>;
}

/** The start was given up before everything answered. */
export class Interrupted extends Error {}

export interface StartOptions {
  /** Gives the start up: what runs is stopped, and Interrupted thrown. */
  readonly signal: AbortSignal;
  /** Something takes its time, for who waits. */
  readonly notice: (text: string) => void;
}

/** What was opened, newest first to be closed. */
class Undo {
  readonly #steps: (() => unknown)[] = [];
  #over = false;

  /** Remembers how to close something; closes it at once when all is closed already. */
  async push(step: () => unknown): Promise<void> {
    if (!this.#over) this.#steps.push(step);
    else {
      await step();
      throw new Interrupted();
    }
  }

  async run(): Promise<void> {
    this.#over = true;
    for (const step of this.#steps.splice(0).reverse()) await step();
  }
}

/** Starts all of it; when a part cannot start, stops what runs and throws CommandError that says why. */
export async function start(settings: Settings, options: StartOptions): Promise<Running> {
  const { signal } = options;
  const undo = new Undo();
  const interrupted = Promise.withResolvers<never>();
  const interrupt = () => interrupted.reject(new Interrupted());
  signal.addEventListener('abort', interrupt, { once: true });
  if (signal.aborted) interrupt();
  try {
    return await Promise.race([open(settings, undo, options), interrupted.promise]);
  } catch (error) {
    await undo.run();
    throw error;
  } finally {
    signal.removeEventListener('abort', interrupt);
  }
}

/** So long nothing is said about a config store that does not answer, ms. */
const SILENCE_MS = 3_000;

async function open(settings: Settings, undo: Undo, { notice }: StartOptions): Promise<Running> {
  const { data } = settings;
  dataFolder(data);
  await undo.push(take(data));
  removeReady(data);

  const env = { ...settings.env };
  if (!env.ARCUS_SECRET_KEY && !env.ARCUS_SECRET_KEY_FILE) {
    env.ARCUS_SECRET_KEY_FILE = join(data, 'secret.key');
    await ensureSecretKeyFile(env.ARCUS_SECRET_KEY_FILE);
  }
  if (!env.ARCUS_SIGNING_KEY && !env.ARCUS_SIGNING_KEY_FILE) {
    env.ARCUS_SIGNING_KEY_FILE = join(data, 'signing.key');
    await ensureKeyFiles(env.ARCUS_SIGNING_KEY_FILE, join(data, 'signing.pub'));
  }
  if (!env.ARCUS_VERIFY_KEYS && !env.ARCUS_VERIFY_KEYS_FILE) {
    env.ARCUS_VERIFY_KEYS = (await loadSigner(SigningEnv.parse(env))).publicKey;
  }
  if (!env.ARCUS_REDIS_URL) {
    const redis = await startEmbeddedRedis();
    await undo.push(() => redis.close());
    env.ARCUS_REDIS_URL = redis.url;
  }
  const [apiEnv, workerEnv] = [checked(() => parseEnv(env)), checked(() => readWorkerEnv(env))];
  const log = pino({ level: env.ARCUS_LOG_LEVEL!, base: null }, pino.destination(2));
  const store = await openStoreFromEnv(StoreEnv.parse(env)).catch((error: Error) => {
    throw new CommandError(`ARCUS_STORE_URL: ${error.message}`);
  });
  await undo.push(() => store.close());
  const late = setTimeout(() => {
    store.ping().catch(() => notice(`waiting for the config store at ${env.ARCUS_STORE_URL} …`));
  }, SILENCE_MS);
  await undo.push(() => clearTimeout(late));

  const ports = [settings.api, settings.proxy, settings.health, settings.admin].map(({ port }) => port);
  const api = await listening('ARCUS_API_LISTEN', env.ARCUS_API_LISTEN!, ports, () =>
    startApi(apiEnv, { log: log.child({ app: 'api' }), store }),
  );
  await undo.push(() => api.close());
  await undo.push(
    await listening('ARCUS_HEALTH_LISTEN', text(settings.health), ports, () => serveHealth(api, settings.health)),
  );
  const url = `http://${text(reachable(settings.api))}`;
  const token = await adminToken(data, api.db);
  const connection = { api: new URL(url), token: token.value };
  const demo = await ensureDemo(connection, settings, notice);

  const worker = await listening('ARCUS_ADMIN_LISTEN', env.ARCUS_ADMIN_LISTEN!, ports, () =>
    startWorker(workerEnv, { log: log.child({ app: 'worker' }), store }),
  );
  let cut = false;
  await undo.push(() => worker.close({ now: cut }));
  await worker.ready;

  const ready: Ready = {
    api: url,
    docs: `${url}/docs`,
    openapi: `${url}/openapi.json`,
    health: `http://${text(reachable(settings.health))}${HEALTH_PATH}`,
    proxy: await demoProxy(connection, demo, worker.id),
    admin_token: token.value,
    worker_admin: `http://${text(reachable(parseAddress(worker.admin) ?? parseAddress(env.ARCUS_ADMIN_LISTEN!)!))}`,
    data,
    pid: process.pid,
  };
  clearTimeout(late);
  writeReady(data, ready);
  await undo.push(() => removeReady(data));
  let closing: Promise<void> | undefined;
  return {
    ready,
    newToken: token.made ? token.value : null,
    close({ now = false } = {}) {
      cut ||= now;
      if (closing && now) void worker.close({ now });
      closing ??= undo.run();
      return closing;
    },
  };
}

function take(data: string): () => void {
  try {
    return lock(data);
  } catch (error) {
    if (!(error instanceof Locked)) throw error;
    const hint = 'stop it first, or choose another folder with ARCUS_DATA';
    throw new CommandError(`Arcus runs already on ${data} (process ${error.pid}): ${hint}`, { exitCode: NO });
  }
}

/** Makes the data folder; says which variable names another. */
function dataFolder(data: string): void {
  try {
    privateFolder(data);
  } catch (error) {
    const why = (error as Error).message;
    throw new CommandError(`the data folder ${data} cannot be made (${why}): choose another with ARCUS_DATA`, {
      exitCode: NO,
    });
  }
}

function checked<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new CommandError((error as Error).message);
  }
}

/** Runs `begin`; a port that is taken is told with the variable that changes it. */
async function listening<T extends RunningApi | Worker | (() => void)>(
  variable: string,
  address: string,
  used: readonly number[],
  begin: () => Promise<T>,
): Promise<T> {
  try {
    return await begin();
  } catch (error) {
    if (error instanceof StartError) throw new CommandError(error.message, { exitCode: NO });
    const code = codeOf(error);
    if (code === undefined || !Object.hasOwn(reasons, code)) throw error;
    throw addressError(address, variable, used, code as keyof typeof reasons);
  }
}

/** The system's code, of the error itself or of what it wraps. */
function codeOf(error: unknown): string | undefined {
  const { code, cause } = error as NodeJS.ErrnoException & { cause?: NodeJS.ErrnoException };
  return code ?? cause?.code;
}

const reasons = {
  EADDRINUSE: 'is taken by another program',
  EACCES: 'may not be used by this user',
  EADDRNOTAVAIL: 'is no address of this machine',
} as const;

function addressError(
  address: string,
  variable: string,
  used: readonly number[],
  code: keyof typeof reasons,
): CommandError {
  const { host, port } = parseAddress(address)!;
  // A port that Arcus itself wants would be the next to be taken.
  let free = port;
  while (used.includes(free)) free = free < 65_535 ? free + 1 : 1024;
  const other = text({ host, port: free });
  return new CommandError(
    `${address} ${reasons[code]}: choose another with ${variable}, such as ${variable}=${other}`,
    {
      exitCode: NO,
    },
  );
}
