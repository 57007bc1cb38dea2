import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConfigStore } from '@arcus/control/store.ts';
import { startRedis } from '@arcus/testkit/redis.ts';
import { until } from '@arcus/testkit/until.ts';
import { pino } from 'pino';
import { openRedis } from '../../redis.ts';
import { testApi } from '../../testing.ts';

test('health needs no token and tells each part with its latency', async (t) => {
  const server = await startRedis();
  t.after(() => server.close());
  const redis = openRedis(server.url, pino({ level: 'silent' }));
  t.after(() => redis.disconnect());
  const api = await testApi({ redis });
  t.after(() => api.close());
  const { status, body } = await until(async () => {
    const answer = await api.call('GET', '/health', { token: null });
    return answer.body.status === 'healthy' ? answer : null;
  });
  assert.equal(status, 200);
  for (const part of ['database', 'store', 'redis']) {
    assert.equal(body[part].status, 'healthy', part);
    assert.ok(body[part].latency_ms >= 0);
  }
  await server.process.kill();
  const down = await until(async () => {
    const answer = await api.call('GET', '/health', { token: null });
    return answer.body.status === 'degraded' ? answer : null;
  });
  assert.equal(down.status, 200, 'without Redis everything but metrics works');
  assert.equal(down.body.redis.status, 'unhealthy');
  assert.ok(down.body.redis.reason);
  assert.doesNotMatch(down.text, /127\.0\.0\.1|ECONN/, 'a reason names no host');
});

test('a store that is away degrades, and its reason names no host', async (t) => {
  const store = { ping: () => Promise.reject(new Error('etcd at 10.0.0.1')), close: async () => {} };
  const api = await testApi({ store: store as unknown as ConfigStore });
  t.after(() => api.close());
  const degraded = await api.call('GET', '/health', { token: null });
  assert.deepEqual([degraded.status, degraded.body.status, degraded.body.store.status], [200, 'degraded', 'unhealthy']);
  assert.doesNotMatch(degraded.text, /10\.0\.0\.1/);
});
