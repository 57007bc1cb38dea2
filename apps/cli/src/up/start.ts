/** The composition root of `arcus up`: api, one worker and, unless named, everything they need, in one process. */
import { join } from 'node:path';
import { parseEnv } from '@arcus/api/env.ts';
import { type RunningApi, startApi } from '@arcus/api/start.ts';
import { openStoreFromEnv, StoreEnv } from '@arcus/control/open.ts';
import { ensureSecretKeyFile } from '@arcus/control/seal.ts';
import { ensureKeyFiles, loadSigner, SigningEnv } from '@arcus/control/sign.ts';
import { startWorker, type Worker } from '@arcus/worker/app.ts';
import { readWorkerEnv } from '@arcus/worker/env.ts';
import { pino } from 'pino';
import { CommandError, NO } from '../command.ts';
import { adminToken } from './admin-token.ts';
import { ensureDemo } from './demo.ts';
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

/** Starts all of it; when a part cannot start, stops what runs and throws CommandError that says why. */
export async function start(settings: Settings): Promise<Running> {
  const undo: (() => unknown)[] = [];
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    return await open(settings, undo, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function open(settings: Settings, undo: (() => unknown)[], stop: () => Promise<void>): Promise<Running> {
  const { data } = settings;
  privateFolder(data);
  undo.push(take(data));
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
    undo.push(() => redis.close());
    env.ARCUS_REDIS_URL = redis.url;
  }
  const log = pino({ level: env.ARCUS_LOG_LEVEL!, base: null }, pino.destination(2));
  const [apiEnv, workerEnv] = [checked(() => parseEnv(env)), checked(() => readWorkerEnv(env))];
  const store = await openStoreFromEnv(StoreEnv.parse(env));
  undo.push(() => store.close());

  const api = await listening('ARCUS_API_LISTEN', env.ARCUS_API_LISTEN!, () =>
    startApi(apiEnv, { log: log.child({ app: 'api' }), store }),
  );
  undo.push(() => api.close());
  const url = `http://${text(reachable(settings.api))}`;
  const token = await adminToken(data, api.db);
  const connection = { api: new URL(url), token: token.value };
  const demo = await ensureDemo(connection, settings);

  const worker = await listening('ARCUS_ADMIN_LISTEN', env.ARCUS_ADMIN_LISTEN!, () =>
    startWorker(workerEnv, { log: log.child({ app: 'worker' }), store }),
  );
  let cut = false;
  undo.push(() => worker.close({ now: cut }));
  await worker.ready;

  const ready: Ready = {
    api: url,
    docs: `${url}/docs`,
    openapi: `${url}/openapi.json`,
    proxy: await demoProxy(connection, demo, worker.id),
    admin_token: token.value,
    worker_admin: `http://${text(reachable(parseAddress(worker.admin) ?? parseAddress(env.ARCUS_ADMIN_LISTEN!)!))}`,
    data,
    pid: process.pid,
  };
  writeReady(data, ready);
  undo.push(() => removeReady(data));
  let closing: Promise<void> | undefined;
  return {
    ready,
    newToken: token.made ? token.value : null,
    close({ now = false } = {}) {
      cut ||= now;
      if (closing && now) void worker.close({ now });
      closing ??= stop();
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

function checked<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new CommandError((error as Error).message);
  }
}

/** Runs `begin`; a port that is taken is told with the variable that changes it. */
async function listening<T extends RunningApi | Worker>(
  variable: string,
  address: string,
  begin: () => Promise<T>,
): Promise<T> {
  try {
    return await begin();
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined || !Object.hasOwn(reasons, code)) throw error;
    throw addressError(address, variable, code as keyof typeof reasons);
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

function addressError(address: string, variable: string, code: keyof typeof reasons): CommandError {
  const { host, port } = parseAddress(address)!;
  const other = text({ host, port: port < 65_535 ? port + 1 : port - 1 });
  return new CommandError(
    `${address} ${reasons[code]}: choose another with ${variable}, such as ${variable}=${other}`,
    {
      exitCode: NO,
    },
  );
}
