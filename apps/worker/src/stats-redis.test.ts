import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Stats } from '@arcus/gateway/stats.ts';
import { startRedis } from '@arcus/testkit/redis.ts';
import { until } from '@arcus/testkit/until.ts';
import { Redis } from 'ioredis';
import pino from 'pino';
import { RedisStats } from './stats-redis.ts';

const log = pino({ level: 'silent' });
/** An answer that does not come is waited for, and a connection is begun anew, ever later. */
const LONG = { deadline: 60_000 };

async function setUp(t: TestContext, clock?: () => number) {
  const server = await startRedis();
  const stats = new Stats();
  const sink = new RedisStats({ url: server.url, worker: 'w1', stats, log, intervalMs: 20, ...(clock && { clock }) });
  const client = new Redis(server.url, { retryStrategy: () => 20, maxRetriesPerRequest: null });
  client.on('error', () => {});
  t.after(async () => {
    await sink.close();
    client.disconnect();
    await server.close();
  });
  return { server, stats, sink, client };
}

test('counters, totals and open connections reach Redis, each with a life time', async (t) => {
  const { stats, client } = await setUp(t);
  const tenant = stats.of('acme', 'tenant', 'acme');
  const server = stats.of('acme', 'server', 'main');
  tenant.requests = 10;
  tenant.blocked = 2;
  tenant.errors = 1;
  tenant.active = 3;
  server.observe(3);
  server.observe(99_999);
  await until(async () => (await client.hget('arcus:metrics:tenant:acme:requests', 'total')) === '10');
  assert.equal(await client.hget('arcus:metrics:tenant:acme:requests', 'success'), '7');
  assert.equal(await client.hget('arcus:connections:active:acme', 'w1'), '3');
  const fields = await client.hgetall('arcus:metrics:tenant:acme:w1');
  assert.equal(fields['tenant:acme:requests'], '10');
  assert.equal(fields['server:main:le_5'], '1');
  assert.equal(fields['server:main:le_inf'], '1');
  assert.ok((await client.ttl('arcus:metrics:tenant:acme:w1')) > 200);
  assert.ok((await client.ttl('arcus:metrics:tenant:acme:requests')) > 29 * 24 * 3600);
  assert.ok((await client.ttl('arcus:connections:active:acme')) > 30);

  tenant.requests += 5;
  await until(async () => (await client.hget('arcus:metrics:tenant:acme:requests', 'total')) === '15');
});

test('the keys of who is idle live on, also when the time of day was set back', async (t) => {
  let ms = 0;
  const { stats, client } = await setUp(t, () => ms);
  const key = 'arcus:metrics:tenant:acme:w1';
  stats.of('acme', 'tenant', 'acme').requests = 1;
  await until(async () => (await client.ttl(key)) > 200);
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() - 3_600_000 });
  await client.expire(key, 100);
  ms += 20_000;
  await until(async () => (await client.ttl(key)) > 200);
});

test('what a worker counted before it was started anew is not held for counts of this one', async (t) => {
  const { stats, client } = await setUp(t);
  await client.hset(
    'arcus:metrics:tenant:acme:w1',
    'tenant:acme:requests',
    9,
    'tenant:acme:errors',
    8,
    'user:gone:requests',
    7,
  );
  const tenant = stats.of('acme', 'tenant', 'acme');
  tenant.requests = 1;
  await until(async () => (await client.hget('arcus:metrics:tenant:acme:requests', 'total')) === '1');
  tenant.requests = 2;
  tenant.blocked = 1;
  await until(async () => (await client.hget('arcus:metrics:tenant:acme:requests', 'total')) === '2');
  const fields = Object.entries(await client.hgetall('arcus:metrics:tenant:acme:w1')).sort();
  assert.deepEqual(fields, [
    ['tenant:acme:blocked', '1'],
    ['tenant:acme:requests', '2'],
  ]);
});

test('no count is lost or doubled while Redis is down', async (t) => {
  const { server, stats, sink, client } = await setUp(t);
  const tenant = stats.of('acme', 'tenant', 'acme');
  tenant.requests = 1;
  await until(async () => (await client.hget('arcus:metrics:tenant:acme:requests', 'total')) === '1');
  await server.process.kill();
  await until(() => sink.failures > 0, LONG);
  tenant.requests = 100;
  await server.process.start();
  await until(async () => (await client.hget('arcus:metrics:tenant:acme:requests', 'total')) === '100', LONG);
});

test('a Redis that was emptied has everything again', async (t) => {
  const { stats, client } = await setUp(t);
  const tenant = stats.of('acme', 'tenant', 'acme');
  const user = stats.of('acme', 'user', 'staff:alice');
  tenant.requests = 4;
  user.requests = 4;
  await until(async () => (await client.hget('arcus:metrics:tenant:acme:w1', 'user:staff:alice:requests')) === '4');
  await client.flushall();
  tenant.requests = 5;
  await until(async () => (await client.hget('arcus:metrics:tenant:acme:w1', 'user:staff:alice:requests')) === '4');
});

test('a frozen Redis holds nothing up and gets the counts when it thaws', async (t) => {
  const { server, stats, sink, client } = await setUp(t);
  const tenant = stats.of('acme', 'tenant', 'acme');
  tenant.requests = 1;
  await until(async () => (await client.hget('arcus:metrics:tenant:acme:requests', 'total')) === '1');
  await server.process.stop();
  tenant.requests = 2;
  await until(() => sink.failures > 0, LONG);
  server.process.cont();
  tenant.requests = 3;
  await until(async () => (await client.hget('arcus:metrics:tenant:acme:w1', 'tenant:acme:requests')) === '3', LONG);
  assert.equal(await client.hget('arcus:metrics:tenant:acme:requests', 'total'), '3');
});
