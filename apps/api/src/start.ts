import { openStoreFromEnv } from '@arcus/control/open.ts';
import { loadSealer, type Sealer } from '@arcus/control/seal.ts';
import { loadSigner, loadVerifier } from '@arcus/control/sign.ts';
import type { ConfigStore } from '@arcus/control/store.ts';
import type { FastifyBaseLogger } from 'fastify';
import type { Redis } from 'ioredis';
import { pino } from 'pino';
import { type App, buildApp } from './app.ts';
import { migrate } from './db/migrate.ts';
import { type Db, openDb } from './db/open.ts';
import { type ApiEnv, parseListen } from './env.ts';
import { ensureGlobal } from './features/tenants/global.ts';
import { openRedis } from './redis.ts';

/** What a caller that runs more than the API in its process already has; it closes these itself. */
export interface StartDeps {
  log?: FastifyBaseLogger;
  store?: ConfigStore;
  redis?: Redis;
  sealer?: Sealer;
  now?: () => number;
}

/** What the environment names cannot be used; the message says which variable, and no stack is of help. */
export class StartError extends Error {}

export interface RunningApi {
  /** `http://host:port`, with the port that was taken. */
  readonly url: string;
  readonly app: App;
  readonly db: Db;
  /** Takes no new requests, finishes those that run, frees everything that `startApi` opened. */
  close(): Promise<void>;
}

/**
 * Opens everything, brings the database to the newest migration, listens, and starts the reconciler. Fails with the
 * first thing that cannot be opened (EADDRINUSE for a port that is taken), and leaves nothing open then. A store or a
 * Redis that is away is no failure.
 */
export async function startApi(env: ApiEnv, given: StartDeps = {}): Promise<RunningApi> {
  const log = given.log ?? (pino({ level: env.ARCUS_LOG_LEVEL, base: { app: 'api' } }) as FastifyBaseLogger);
  const opened: (() => unknown)[] = [];
  const close = async () => {
    for (const undo of opened.splice(0).reverse()) await undo();
  };
  try {
    const sealer = given.sealer ?? (await loadSealer(env));
    const signer = await loadSigner(env);
    const verifier = await loadVerifier(env, signer);
    const applied = await migrate(env.ARCUS_DATABASE_URL).catch((cause: Error) => {
      throw new StartError(`the database of ARCUS_DATABASE_URL cannot be used: ${cause.message}`, { cause });
    });
    if (applied.length > 0) log.info({ applied }, 'database migrated');
    const db = await openDb(env.ARCUS_DATABASE_URL);
    opened.push(() => db.close());
    const now = given.now ?? Date.now;
    await ensureGlobal(db, now());
    let { store } = given;
    if (!store) {
      const own = await openStoreFromEnv(env);
      opened.push(() => own.close());
      store = own;
    }
    let redis = given.redis ?? null;
    if (!redis && env.ARCUS_REDIS_URL !== undefined) {
      const own = openRedis(env.ARCUS_REDIS_URL, log);
      opened.push(() => own.disconnect());
      redis = own;
    }
    const retention = { kept: env.ARCUS_RELEASES_KEPT, days: env.ARCUS_RELEASES_DAYS };
    const app = await buildApp({ db, store, redis, sealer, signer, verifier, retention, now, log });
    opened.push(() => app.close());
    const url = await app.http.listen(parseListen(env.ARCUS_API_LISTEN));
    app.context.publisher.start();
    app.context.rollouts.start();
    app.context.mover.start();
    app.context.retention.start();
    app.context.fleet.start();
    return { url, app, db, close };
  } catch (error) {
    await close();
    throw error;
  }
}
