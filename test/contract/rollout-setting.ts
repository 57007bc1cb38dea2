/** The setting of the tests of rollouts: a Redis, and each database in turn. Workers are played. */
import assert from 'node:assert/strict';
import { after, before, describe, type TestContext } from 'node:test';
import { bakeMs } from '@arcus/api/features/rollouts/watch.ts';
import { type TestApi, type TestApiOptions, testApi } from '@arcus/api/testing.ts';
import { latencyBounds } from '@arcus/gateway/stats.ts';
import { type MariaDbServer, startMariaDb } from '@arcus/testkit/mariadb.ts';
import { type RedisServer, startRedis } from '@arcus/testkit/redis.ts';
import { until } from '@arcus/testkit/until.ts';
import { Redis } from 'ioredis';

export const url = '/tenants/acme/rollouts';

export const four = { 'w-a': { canary: 'yes' }, 'w-b': {}, 'w-c': {}, 'w-d': {} };

/** What takes longer than that does not come any more, ms. */
const PATIENCE = 60_000;

/**
 * What the tests share; made anew for each database. The clock that engines watch steps by stands until a test lets
 * time pass: however slow the machine is, nothing is over before the test has done what it wants to do.
 */
export interface Setting {
  readonly database: 'SQLite' | 'MariaDB';
  /** An api on a database of its own unless `options` name one; closed with the test. */
  open(t: TestContext, options?: TestApiOptions): Promise<TestApi>;
  /** Counts requests of a worker as its statistics would. */
  traffic(worker: string, requests: number, errors: number, ms: number): Promise<void>;
  /** Lets time pass for all engines. */
  pass(ms: number): void;
  /** Until `step` (1, 2, …) bakes, and what its requests are compared with was read. `api` drives the rollout. */
  watched(api: TestApi, id: string, step: number): Promise<void>;
  /** The same, and then all time of its bake passes. */
  baked(api: TestApi, id: string, step: number): Promise<void>;
}

/** Runs `tests` on both databases. */
export function onBoth(what: string, tests: (setting: Setting) => void): void {
  let maria: MariaDbServer;
  let server: RedisServer;
  let redis: Redis;
  let count = 0;
  let ms = 0;
  before(async () => {
    [maria, server] = await Promise.all([startMariaDb(), startRedis()]);
    redis = new Redis(server.url);
  });
  after(async () => {
    redis?.disconnect();
    await server?.close();
    await maria?.close();
  });
  for (const database of ['SQLite', 'MariaDB'] as const) {
    const fresh = () => (database === 'MariaDB' ? maria.urlOf(`rollouts_${++count}`) : undefined);
    const setting: Setting = {
      database,
      async open(t, options = {}) {
        await redis.flushall();
        const at = options.database ?? fresh();
        const api = await testApi({
          redis,
          clock: () => ms,
          ...options,
          ...(at === undefined ? {} : { database: at }),
        });
        t.after(() => api.close());
        return api;
      },
      async traffic(worker, requests, errors, ms) {
        const key = `arcus:metrics:tenant:acme:${worker}`;
        const bound = latencyBounds.find((one) => ms <= one);
        await redis
          .multi()
          .hincrby(key, 'tenant::requests', requests)
          .hincrby(key, 'tenant::errors', errors)
          .hincrby(key, `tenant::le_${bound}`, requests)
          .exec();
      },
      pass: (more) => {
        ms += more;
      },
      async watched(api, rollout_id, step) {
        const look = () => api.db.client.rollout.findUnique({ where: { rollout_id } });
        const row = await until(
          async () => {
            const now = (await look())!;
            return now.phase === 'baking' && now.step === step - 1 ? now : null;
          },
          { what: `step ${step} bakes`, deadline: PATIENCE },
        );
        // Time counts from the first look at a phase.
        await api.app.context.rollouts.turn();
        ms += bakeMs(row) - row.bake_seconds * 1000;
        await until(async () => (await look())!.baseline !== null, {
          what: 'numbers to begin with',
          deadline: PATIENCE,
        });
      },
      async baked(api, rollout_id, step) {
        await setting.watched(api, rollout_id, step);
        const row = await api.db.client.rollout.findUnique({ where: { rollout_id } });
        ms += row!.bake_seconds * 1000;
      },
    };
    describe(`${what}, with ${database}`, () => tests(setting));
  }
}

/** Release 1 is served, release 2 is held. */
export async function held(api: TestApi): Promise<void> {
  await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'Acme' } });
  const body = { name: 'no', type: 'dummy_deny' };
  const made = await api.call('POST', '/tenants/acme/escapers?publish=hold', { body });
  assert.equal(made.headers['arcus-release-state'], 'held', made.text);
}

/** Their rollouts are driven already. */
const driving = new WeakSet<TestApi>();

export async function start(api: TestApi, body: object) {
  const made = await api.call('POST', url, { body });
  assert.equal(made.status, 201, made.text);
  if (!driving.has(api)) api.app.context.rollouts.start(20);
  driving.add(api);
  return made.body as { id: string; notes: string[]; plan: { count: number; of: number }[] };
}

export const state = async (api: TestApi, id: string) => (await api.call('GET', `${url}/${id}`)).body;

export const ended = (api: TestApi, id: string, wanted: string) =>
  until(
    async () => {
      const now = await state(api, id);
      return now.state === wanted && now;
    },
    { what: `the rollout is ${wanted}`, deadline: PATIENCE },
  );

export const head = async (api: TestApi) => (await api.store.getHead('acme'))!.head;
