import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startRedis } from '@arcus/testkit/redis.ts';
import { until } from '@arcus/testkit/until.ts';
import { Redis } from 'ioredis';
import { testApi } from '../../testing.ts';

test('metrics add up what the workers count, and estimate latencies', async (t) => {
  const server = await startRedis();
  t.after(() => server.close());
  // As the service has it, but for the time in which a command must be answered.
  const redis = new Redis(server.url, { enableOfflineQueue: false, maxRetriesPerRequest: 1 });
  redis.on('error', () => {});
  t.after(() => redis.disconnect());
  const api = await testApi({ redis });
  t.after(() => api.close());
  await until(() => redis.status === 'ready');
  for (const id of ['acme', 'idle']) {
    await api.call('POST', '/tenants', { body: { tenant_id: id, tenant_name: 'x' } });
  }
  await redis.hset('arcus:metrics:tenant:acme:requests', { total: 12, success: 9, blocked: 2, errors: 1, bytes_in: 5 });
  await redis.hset('arcus:connections:active:acme', { w1: 1, w2: 2 });
  for (const worker of ['w1', 'w2']) {
    await redis.hset(`arcus:metrics:tenant:acme:${worker}`, {
      'tenant:acme:requests': 5,
      'tenant:acme:active': 1,
      'tenant:acme:latency_sum': 60,
      'tenant:acme:le_5': 4,
      'tenant:acme:le_50': 1,
      'server:main:requests': 5,
      'escaper:out:bytes_out': 100,
      'user:staff:alice:requests': 3,
      'user:staff:b:ob:requests': 2,
    });
  }
  // Workers that hold a lease are asked; there are none here, so those count that lately said so themselves.
  t.mock.method(api.store, 'listWorkers', () => Promise.reject(new Error('away')));
  const { status, body } = await api.call('GET', '/tenants/acme/metrics');
  assert.equal(status, 200);
  assert.deepEqual(body.totals, { total: 12, success: 9, blocked: 2, errors: 1, bytes_in: 5, bytes_out: 0 });
  assert.deepEqual([body.now.requests, body.now.active], [10, 2]);
  assert.equal(body.now.latency_ms.mean, 12);
  assert.ok(body.now.latency_ms.p50 > 2 && body.now.latency_ms.p50 <= 5, String(body.now.latency_ms.p50));
  assert.ok(body.now.latency_ms.p99 > 25 && body.now.latency_ms.p99 <= 50, String(body.now.latency_ms.p99));
  assert.equal(body.servers.main.requests, 10);
  assert.equal(body.escapers.out.bytes_out, 200);
  assert.deepEqual(Object.keys(body.users), ['staff:alice', 'staff:b:ob']);

  const all = await api.call('GET', '/metrics');
  assert.equal(all.body.totals.total, 12);
  assert.deepEqual(
    all.body.items.map((i: { tenant_id: string; totals: { total: number } }) => [i.tenant_id, i.totals.total]),
    [
      ['acme', 12],
      ['idle', 0],
    ],
  );

  await server.process.kill();
  const down = await until(async () => {
    const answer = await api.call('GET', '/tenants/acme/metrics');
    return answer.status === 503 ? answer : null;
  });
  assert.equal(down.body.type, 'urn:arcus:problem:unavailable');
  assert.equal((await api.call('GET', '/tenants/acme')).status, 200, 'nothing else needs Redis');
});
