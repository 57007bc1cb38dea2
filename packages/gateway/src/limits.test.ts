import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Limits, RateLimited, StoredLimits, type Taken } from './limits.ts';

const clock = () => {
  const at = { now: 0 };
  return { at, limits: new Limits(() => at.now) };
};

test('who has used it up is told when to come again', () => {
  const { at, limits } = clock();
  const use = limits.of('acme');
  const refused = (detail: string, retryAfter: number) => (error: unknown) =>
    error instanceof RateLimited && error.detail === detail && error.retryAfter === retryAfter;
  use.session(0.1);
  at.now = 2500;
  assert.throws(() => use.session(0.1), refused('max_requests_per_second of this tenant is used up', 8));
  use.userSession('staff', 'ann', 100);
  for (let i = 1; i < 100; i++) use.userSession('staff', 'ann', 100);
  assert.throws(
    () => use.userSession('staff', 'ann', 100),
    refused('request_rate_limit of user ann is used up', 1),
    'at least a second',
  );
  use.userSession('guests', 'bob', 1e-9);
  const most = refused('request_rate_limit of user bob is used up', 86_400);
  assert.throws(() => use.userSession('guests', 'bob', 1e-9), most, 'at most a day');
});

test('tenants, and users of one name in two groups, have a bucket each', () => {
  const { limits } = clock();
  for (const tenant of ['acme', 'beta']) {
    limits.of(tenant).session(1);
    for (const group of ['staff', 'guests']) limits.of(tenant).userSession(group, 'ann', 1);
    assert.throws(() => limits.of(tenant).session(1), RateLimited);
    assert.throws(() => limits.of(tenant).userSession('guests', 'ann', 1), RateLimited);
  }
});

test('buckets that are full again are not kept, others are', () => {
  const { at, limits } = clock();
  const use = limits.of('acme');
  use.userSession('staff', 'slow', 0.001);
  for (let i = 0; i < 10_000; i++) {
    use.userSession('staff', `u${i}`, 1);
    at.now += 10;
  }
  assert.ok(use.size <= 1025, `${use.size} buckets`);
  assert.throws(() => use.userSession('staff', 'slow', 0.001), RateLimited);
});

test('what a tenant used is forgotten with it, but not what its last connections still use', () => {
  const { limits } = clock();
  const use = limits.of('acme');
  use.opened(undefined);
  use.session(1);
  limits.forget('acme');
  assert.equal(limits.of('acme'), use, 'it came back');
  assert.throws(() => use.opened(1), { code: 'too_many_sessions' });
  limits.forget('acme');
  use.closed();
  const anew = limits.of('acme');
  assert.notEqual(anew, use);
  anew.session(1);
  anew.opened(1);
});

test('processes that share a limit take from each other’s buckets, and only what they let through', () => {
  const told: Taken[] = [];
  const connections = { elsewhere: () => 0, changed: () => {} };
  const a = new Limits(() => 0, {
    connections,
    took: (tenant, user, perSecond) => told.push([tenant, user, 1, perSecond]),
  });
  const b = new Limits(() => 0, { connections, took: () => {} });
  for (const each of [a, b]) each.of('acme');
  a.of('acme').session(2);
  for (const user of ['ann', 'bob']) a.of('acme').userSession('staff', user, 1);
  assert.throws(() => a.of('acme').userSession('staff', 'ann', 1));
  assert.equal(told.length, 3);
  b.heard(told);
  b.heard([['gone', '', 1, 1]]);
  b.of('acme').session(2);
  assert.throws(() => b.of('acme').session(2), RateLimited);
  assert.throws(() => b.of('acme').userSession('staff', 'ann', 1), RateLimited);
  b.of('acme').userSession('guests', 'ann', 1);
});

test('limits that an earlier version stored and that do nothing are dropped', () => {
  const stored = { max_concurrent_connections: 5, max_bandwidth_mbps: 10, max_memory_mb: 5, max_cpu_cores: 0.5 };
  assert.deepEqual(StoredLimits.parse(stored), { max_concurrent_connections: 5 });
});
