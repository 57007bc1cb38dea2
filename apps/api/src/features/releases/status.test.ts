import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { TenantStatus } from '@arcus/control/release.ts';
import { until } from '@arcus/testkit/until.ts';
import { type TestApi, testApi } from '../../testing.ts';

async function worker(t: TestContext, api: TestApi, id: string) {
  const at = new Date().toISOString();
  const lease = await api.store.leaseWorker(
    {
      ...{ schema: 1 as const, id, labels: { zone: 'a' }, host: 'h', pid: 1, software: '0.1.0', started_at: at },
      ...{ reported_at: at, admin: '127.0.0.1:7900', tenants: 1, refused: 0 },
    },
    // Nobody is lost here because this process stood still for a while.
    600,
  );
  t.after(() => lease.close());
  return {
    say: (status: TenantStatus) => lease.report(new Map([['acme', status]])),
    close: () => lease.close(),
  };
}

async function setUp(t: TestContext): Promise<TestApi> {
  const api = await testApi();
  t.after(() => api.close());
  const made = await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'x' } });
  assert.equal(made.status, 201);
  return api;
}

const refusal = { pointer: '/config/servers/0/listen', message: 'port is taken', code: 'listen_failed' };

test('config/status tells per worker what it runs, and what it refused and why', async (t) => {
  const api = await setUp(t);
  const [one, two] = [await worker(t, api, 'w1'), await worker(t, api, 'w2')];
  await worker(t, api, 'w3');
  await api.call('POST', '/tenants/acme/reload');
  await one.say({ applied: 2 });
  await two.say({ applied: 1, refused: { version: 2, issues: [refusal] } });
  const { body } = await api.call('GET', '/tenants/acme/config/status');
  assert.deepEqual([body.version, body.state], [2, 'published']);
  assert.deepEqual(
    body.workers.map((w: { worker: string; state: string; applied: number }) => [w.worker, w.state, w.applied]),
    [
      ['w1', 'applied', 2],
      ['w2', 'refused', 1],
      ['w3', 'silent', 0],
    ],
  );
  assert.deepEqual(body.workers[1].refused.issues, [refusal]);
  const { converged, ...counts } = body.summary;
  assert.deepEqual(counts, { workers: 3, applied: 1, refused: 1, lagging: 0, silent: 1, lost: 0 });
  assert.equal(converged, false);

  const workers = await api.call('GET', '/workers?limit=2');
  assert.deepEqual(
    workers.body.items.map((w: { id: string }) => w.id),
    ['w1', 'w2'],
  );
  const rest = await api.call('GET', `/workers?limit=2&cursor=${workers.body.next_cursor}`);
  assert.deepEqual(
    rest.body.items.map((w: { id: string }) => w.id),
    ['w3'],
  );
});

test('wait=acked answers when all live workers have applied the release', async (t) => {
  const api = await setUp(t);
  const one = await worker(t, api, 'w1');
  await one.say({ applied: 1 });
  const waiting = api.call('POST', '/tenants/acme/reload?wait=acked&timeout=120s');
  await until(async () => (await api.store.getHead('acme'))?.head.stable.version === 2);
  await one.say({ applied: 2 });
  const { status, body, headers } = await waiting;
  assert.equal(status, 200);
  assert.equal(headers['arcus-release-state'], 'acked');
  assert.deepEqual([body.state, body.summary.converged, body.workers.length], ['acked', true, 1]);
});

test('wait=acked tells who refused, with pointers', async (t) => {
  const api = await setUp(t);
  const [one, two] = [await worker(t, api, 'w1'), await worker(t, api, 'w2')];
  const waiting = api.call('PUT', '/tenants/acme/escapers/no?wait=acked&timeout=120s', {
    body: { type: 'dummy_deny' },
  });
  await one.say({ applied: 2 });
  await two.say({ applied: 1, refused: { version: 2, issues: [refusal] } });
  const { status, body } = await waiting;
  assert.equal(status, 409);
  assert.equal(body.type, 'urn:arcus:problem:release_refused');
  assert.match(body.detail, /w2/);
  assert.deepEqual(body.errors, [{ ...refusal, message: 'w2: port is taken' }]);
  assert.equal(body.summary.applied, 1);
});

test('wait=acked tells who is silent when the time is up; the write stays', async (t) => {
  const api = await setUp(t);
  await worker(t, api, 'w1');
  const { status, body, headers } = await api.call('POST', '/tenants/acme/reload?wait=acked&timeout=2s');
  assert.equal(status, 504);
  assert.match(body.detail, /w1/);
  assert.deepEqual([headers['arcus-release'], body.release], ['2', 2]);
  assert.equal((await api.call('GET', '/tenants/acme')).body.version, 2);
});

test('wait=acked does not take no worker for all workers', async (t) => {
  const api = await setUp(t);
  const { status, body } = await api.call('POST', '/tenants/acme/reload?wait=acked&timeout=2s');
  assert.equal(status, 504);
  assert.match(body.detail, /no worker is alive/);
});
