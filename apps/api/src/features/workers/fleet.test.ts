import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { TenantStatus, WorkerRecord } from '@arcus/control/release.ts';
import { until, within } from '@arcus/testkit/until.ts';
import { type TestApi, type TestApiOptions, testApi } from '../../testing.ts';

const HOUR = 3_600_000;
/** Nobody is lost here because this process stood still for a while, s. */
const LEASE_S = 600;

const record = (id: string, more: Partial<WorkerRecord> = {}): WorkerRecord => ({
  ...{ schema: 1, id, labels: { zone: 'a' }, host: 'h', pid: 1, software: '0.1.0', admin: '127.0.0.1:7900' },
  ...{ started_at: new Date().toISOString(), reported_at: new Date().toISOString(), tenants: 1, refused: 0 },
  ...more,
});

async function setUp(t: TestContext, options: TestApiOptions = {}) {
  const api = await testApi(options);
  t.after(() => api.close());
  const made = await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'x' } });
  assert.equal(made.status, 201);
  const worker = async (id: string, more: Partial<WorkerRecord> = {}) => {
    const lease = await api.store.leaseWorker(record(id, more), LEASE_S);
    t.after(() => lease.close());
    return {
      say: (status: TenantStatus) => lease.report(new Map([['acme', status]])),
      /** As a process that was killed: its lease is over, and nothing was said. */
      die: () => lease.close(),
      leave: () => lease.close(record(id, { left: true })),
    };
  };
  return { api, worker };
}

const ids = async (api: TestApi, query = '') =>
  (await api.call('GET', `/workers${query}`)).body.items.map((w: { id: string; state: string }) => [w.id, w.state]);

test('a worker that died is lost, not gone, and no release is everywhere while it is', async (t) => {
  const { api, worker } = await setUp(t);
  const [one, two] = [await worker('w1'), await worker('w2')];
  await one.say({ applied: 1 });
  await two.say({ applied: 1 });
  assert.equal((await api.call('GET', '/tenants/acme/config/status')).body.summary.converged, true);
  await two.die();
  const { body } = await api.call('GET', '/tenants/acme/config/status');
  assert.deepEqual(
    body.workers.map((w: { worker: string; state: string; applied: number }) => [w.worker, w.state, w.applied]),
    [
      ['w1', 'applied', 1],
      ['w2', 'lost', 0],
    ],
  );
  assert.deepEqual([body.summary.workers, body.summary.lost, body.summary.converged], [1, 1, false]);
  assert.deepEqual(await ids(api), [
    ['w1', 'live'],
    ['w2', 'lost'],
  ]);
  assert.deepEqual(await ids(api, '?state=lost'), [['w2', 'lost']]);
  const written = await api.call('POST', '/tenants/acme/reload?wait=acked&timeout=2s');
  assert.equal(written.status, 504);
  assert.match(written.body.detail, /lost: w2/);
});

test('wait=acked counts a lost worker as silent although all others have applied', async (t) => {
  const { api, worker } = await setUp(t);
  const [one, two] = [await worker('w1'), await worker('w2')];
  await api.call('GET', '/workers');
  await two.die();
  await one.say({ applied: 99 });
  const written = await api.call('POST', '/tenants/acme/reload?wait=acked&timeout=120s');
  assert.deepEqual([written.status, written.body.summary.applied, written.body.summary.lost], [504, 1, 1]);
});

test('a lost worker that comes back is fine again', async (t) => {
  const { api, worker } = await setUp(t);
  const one = await worker('w1');
  await api.call('GET', '/workers');
  await one.die();
  assert.deepEqual(await ids(api), [['w1', 'lost']]);
  const again = await worker('w1');
  await again.say({ applied: 1 });
  assert.deepEqual(await ids(api), [['w1', 'live']]);
  assert.equal((await api.call('GET', '/tenants/acme/config/status')).body.summary.converged, true);
});

test('a worker that left is not lost', async (t) => {
  const { api, worker } = await setUp(t);
  const [one, two] = [await worker('w1'), await worker('w2')];
  await one.say({ applied: 1 });
  await api.call('GET', '/workers');
  await two.leave();
  assert.deepEqual(await ids(api), [['w1', 'live']]);
  assert.equal((await api.call('GET', '/tenants/acme/config/status')).body.summary.converged, true);
  assert.deepEqual(
    (await api.db.client.seenWorker.findMany()).map((row) => row.id),
    ['w1'],
  );
});

test('a lost worker is forgotten by hand, a live one is not', async (t) => {
  const { api, worker } = await setUp(t);
  const one = await worker('w1');
  assert.equal((await api.call('DELETE', '/workers/w1')).status, 409);
  await one.die();
  const viewer = await api.call('POST', '/tokens', { body: { name: 'v', role: 'viewer' } });
  assert.equal((await api.call('DELETE', '/workers/w1', { token: viewer.body.token })).status, 403);
  assert.equal((await api.call('DELETE', '/workers/w1')).status, 204);
  assert.deepEqual(await ids(api), []);
  assert.equal((await api.call('DELETE', '/workers/w1')).status, 404);
  assert.equal((await api.call('GET', '/workers/w1')).status, 404);
  assert.equal((await api.call('GET', '/audit')).body.items[0].action, 'worker.forget');
});

test('a lost worker is forgotten after a day, also by the database', async (t) => {
  let now = Date.now();
  const { api, worker } = await setUp(t, { now: () => now });
  const one = await worker('w1');
  await api.call('GET', '/workers');
  await one.die();
  now += 23 * HOUR;
  assert.deepEqual(await ids(api), [['w1', 'lost']]);
  now += 2 * HOUR;
  assert.deepEqual(await ids(api), []);
  await api.app.context.fleet.expire();
  assert.equal(await api.db.client.seenWorker.count(), 0);
});

test('a service that starts anew knows the workers that were lost before', async (t) => {
  const { api, worker } = await setUp(t);
  const one = await worker('w1');
  api.app.context.fleet.start();
  // It is written down although nobody asked.
  await until(async () => (await api.db.client.seenWorker.count()) > 0);
  await one.die();
  const next = await testApi({ database: api.database, store: api.store });
  t.after(() => next.close());
  const answer = await next.call('GET', '/workers', { token: api.admin });
  assert.deepEqual(
    answer.body.items.map((w: { id: string; state: string }) => [w.id, w.state]),
    [['w1', 'lost']],
  );
});

test('a worker shows its identity, processes, the age of its view, and what it runs of each tenant', async (t) => {
  const now = Date.now();
  const { api, worker } = await setUp(t, { now: () => now });
  const seen = new Date(now - 1500).toISOString();
  const one = await worker('w1', { processes: 4, store_seen_at: seen });
  const issue = { pointer: '/config/servers/0/listen', message: 'port is taken', code: 'listen_failed' };
  await api.call('POST', '/tenants', { body: { tenant_id: 'beta', tenant_name: 'x' } });
  await api.call('POST', '/tenants/acme/reload');
  await one.say({ applied: 1, refused: { version: 2, issues: [issue] } });
  const { body } = await api.call('GET', '/workers/w1');
  assert.deepEqual(
    [body.id, body.state, body.labels, body.processes, body.store_age_ms, body.host],
    ['w1', 'live', { zone: 'a' }, 4, 1500, 'h'],
  );
  const first = await api.call('GET', '/workers/w1/tenants?limit=1');
  assert.deepEqual(first.body.items, [
    { tenant_id: 'acme', state: 'refused', wanted: 2, applied: 1, refused: { version: 2, issues: [issue] } },
  ]);
  const second = await api.call('GET', `/workers/w1/tenants?limit=1&cursor=${first.body.next_cursor}`);
  assert.deepEqual(
    [second.body.items[0].tenant_id, second.body.items[0].state, second.body.next_cursor],
    ['beta', 'silent', null],
  );
  const status = (await api.call('GET', '/tenants/acme/config/status')).body.workers[0];
  assert.deepEqual([status.processes, status.store_age_ms, status.wanted], [4, 1500, 2]);
  assert.equal((await api.call('GET', '/workers/nobody/tenants')).status, 404);
});

test('a worker outside of a tenant’s placement is not waited for', async (t) => {
  const { api, worker } = await setUp(t);
  const [here] = [await worker('w1'), await worker('w2', { labels: { zone: 'b' } })];
  await api.db.client.tenant.updateMany({ where: { tenant_id: 'acme' }, data: { placement: { zone: 'a' } } });
  api.app.context.changes.states.drop('acme');
  await here.say({ applied: 9 });
  const { status, body } = await api.call('POST', '/tenants/acme/reload?wait=acked&timeout=120s');
  assert.equal(status, 200, JSON.stringify(body));
  assert.deepEqual(
    body.workers.map((w: { worker: string }) => w.worker),
    ['w1'],
  );
});

test('a release that only a lost worker is missing for is told of at once, whatever the timeout', async (t) => {
  const { api, worker } = await setUp(t);
  const [one, two] = [await worker('w1'), await worker('w2')];
  await api.call('GET', '/workers');
  await two.die();
  await one.say({ applied: 99 });
  const asked = api.call('POST', '/tenants/acme/reload?wait=acked&timeout=10m');
  const { status, body } = await within(asked, 'an answer before the timeout', 60_000);
  assert.deepEqual([status, body.detail, body.summary.applied], [504, 'lost: w2', 1]);
});
