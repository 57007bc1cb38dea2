/** For tests: the management service on a database of its own, with the file store, in a folder that goes away. */

import { openStore } from '@arcus/control/open.ts';
import { createSealer } from '@arcus/control/seal.ts';
import type { ConfigStore } from '@arcus/control/store.ts';
import { type TestKeys, testKeys } from '@arcus/testkit/keys.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import type { FastifyBaseLogger, InjectOptions, LightMyRequestResponse } from 'fastify';
import type { Redis } from 'ioredis';
import { pino } from 'pino';
import { type App, buildApp } from './app.ts';
import { migrate } from './db/migrate.ts';
import { type Db, openDb } from './db/open.ts';
import type { RetentionRules } from './features/releases/retention.ts';
import { ensureGlobal } from './features/tenants/global.ts';
import { ensureAdminToken } from './features/tokens/store.ts';

export const testKey = new Uint8Array(32).fill(7);

export interface TestApiOptions {
  /** Default: SQLite in a temporary folder. */
  database?: string;
  store?: ConfigStore;
  redis?: Redis;
  log?: FastifyBaseLogger;
  now?: () => number;
  /** ms, never set back. */
  clock?: () => number;
  /** Default: those of this process's tests. */
  keys?: TestKeys;
  retention?: RetentionRules;
}

export interface TestApi {
  readonly app: App;
  readonly db: Db;
  readonly store: ConfigStore;
  readonly database: string;
  readonly admin: string;
  /** With the admin token unless `token` says otherwise (null: none). */
  call(method: string, url: string, options?: CallOptions): Promise<Answer>;
  close(): Promise<void>;
}

export interface CallOptions {
  body?: unknown;
  /** If-Match. */
  match?: string;
  token?: string | null;
  headers?: Record<string, string>;
}

export interface Answer {
  status: number;
  headers: LightMyRequestResponse['headers'];
  /** Parsed JSON; null without a body. */
  body: any;
  text: string;
  etag: string;
}

export async function testApi(options: TestApiOptions = {}): Promise<TestApi> {
  const dir = tempDir('api');
  const database = options.database ?? `file:${dir.path}/arcus.db`;
  await migrate(database);
  const db = await openDb(database);
  const now = options.now ?? Date.now;
  await ensureGlobal(db, now());
  const store = options.store ?? (await openStore(`file:${dir.path}/store`));
  const log = options.log ?? (pino({ level: process.env.LOG ?? 'silent' }) as FastifyBaseLogger);
  const { signer, verifier } = options.keys ?? testKeys();
  const sealer = createSealer(testKey);
  const retention = options.retention ?? { kept: 100, days: 365 };
  const app = await buildApp({
    db,
    store,
    redis: options.redis ?? null,
    sealer,
    signer,
    verifier,
    retention,
    now,
    clock: options.clock,
    log,
  });
  const admin = (await ensureAdminToken(db)) ?? '';
  return {
    app,
    db,
    store,
    database,
    admin,
    call: (method, url, call = {}) => send(app, admin, method, url, call),
    async close() {
      await app.close();
      if (!options.store) await store.close();
      await db.close();
      dir.close();
    },
  };
}

async function send(app: App, admin: string, method: string, url: string, call: CallOptions): Promise<Answer> {
  const token = call.token === undefined ? admin : call.token;
  const request: InjectOptions = {
    method: method as 'GET',
    url: url.startsWith('/api') ? url : `/api/v1${url}`,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(call.match === undefined ? {} : { 'if-match': call.match }),
      ...(typeof call.body === 'object' ? { 'content-type': 'application/json' } : {}),
      ...call.headers,
    },
    ...(call.body === undefined
      ? {}
      : { payload: typeof call.body === 'string' ? call.body : JSON.stringify(call.body) }),
  };
  const response = await app.http.inject(request);
  const json = /json/.test(String(response.headers['content-type'] ?? '')) && response.body !== '';
  return {
    status: response.statusCode,
    headers: response.headers,
    body: json ? JSON.parse(response.body) : null,
    text: response.body,
    etag: String(response.headers.etag ?? ''),
  };
}

/** A small config that is valid: a server on `port`, a way out, a user `alice`. */
export const smallConfig = (port = 18080) => ({
  servers: [
    { name: 'main', type: 'http_proxy', listen: { address: `127.0.0.1:${port}` }, escaper: 'out', user_group: 'staff' },
  ],
  escapers: [{ name: 'out', type: 'direct_fixed', resolver: 'system' }],
  resolvers: [{ name: 'system', type: 'system' }],
  user_groups: [{ name: 'staff', type: 'basic', static_users: [{ name: 'alice', password: 'correct horse' }] }],
});
