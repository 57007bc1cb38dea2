/** What becomes of a release that is held when somebody writes what it has already. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { until } from '@arcus/testkit/until.ts';
import { type TestApi, testApi } from '../../testing.ts';

const base = '/tenants/acme';
const deny = (name: string) => ({ name, type: 'dummy_deny' });

/** Release 1 is served; release 2, with an escaper, is held. */
async function setUp(t: TestContext): Promise<TestApi> {
  const api = await testApi();
  t.after(() => api.close());
  await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'acme' } });
  const held = await api.call('POST', `${base}/escapers?publish=hold`, { body: deny('a') });
  assert.equal(held.headers['arcus-release-state'], 'held', held.text);
  return api;
}

const push = (api: TestApi, query: string) =>
  api.call('PUT', `${base}/config${query}`, { body: { escapers: [deny('a')] }, match: '*' });
const served = async (api: TestApi) => (await api.store.getHead('acme'))?.head.stable.version;
const states = async (api: TestApi) =>
  (await api.call('GET', `${base}/releases`)).body.items.map((release: { state: string }) => release.state);

test('publish=now of what is held already publishes it, without another release', async (t) => {
  const api = await setUp(t);
  const again = await push(api, '');
  assert.deepEqual([again.status, again.body.state, await served(api)], [200, 'held', 1], 'it did not say publish');
  const now = await push(api, '?publish=now');
  assert.deepEqual([now.status, now.body.version, now.body.state, now.body.changed], [200, 2, 'published', false]);
  assert.equal(await served(api), 2);
  assert.deepEqual(await states(api), ['published', 'published']);
  const events = (await api.call('GET', `/audit?tenant_id=acme`)).body.items;
  const event = events.find((one: { action: string }) => one.action === 'release.publish');
  assert.deepEqual([event?.target, event?.version], ['releases/2', 2], JSON.stringify(events));
  assert.equal((await push(api, '?publish=now')).headers['arcus-release-state'], 'published');
});

test('of several that are held publish=now publishes the newest', async (t) => {
  const api = await setUp(t);
  await api.call('POST', `${base}/escapers?publish=hold`, { body: deny('b') });
  const body = { escapers: [deny('a'), deny('b')] };
  const now = await api.call('PUT', `${base}/config?publish=now`, { body, match: '*' });
  assert.deepEqual([now.body.version, now.body.state, await served(api)], [3, 'published', 3], now.text);
  assert.deepEqual(await states(api), ['published', 'superseded', 'published']);
});

test('an empty draft that is applied with publish=now publishes what is held', async (t) => {
  const api = await setUp(t);
  await api.call('POST', `${base}/drafts`, { body: { name: 'd' } });
  const waiting = await api.call('POST', `${base}/drafts/d/apply?wait=acked&timeout=50ms`);
  assert.equal(waiting.status, 409, waiting.text);
  const applied = await api.call('POST', `${base}/drafts/d/apply?publish=now`);
  assert.deepEqual([applied.status, applied.body.state, await served(api)], [200, 'published', 2], applied.text);
  assert.equal((await api.call('GET', `${base}/drafts/d`)).status, 404);
});

test('publish=now together with the tenant’s own fields publishes what is held, too', async (t) => {
  const api = await setUp(t);
  const body = { tenant_name: 'acme', metadata: { owner: 'x' } };
  const put = await api.call('PUT', `${base}?publish=now`, { body, match: '*' });
  assert.deepEqual([put.status, put.headers['arcus-release-state'], await served(api)], [200, 'published', 2]);
  assert.deepEqual(put.body.metadata, { owner: 'x' });
});

test('a release that is rolled out is not published past its rollout', async (t) => {
  const api = await setUp(t);
  const made = await api.call('POST', `${base}/rollouts`, { body: { percent: 5, bake_seconds: 600 } });
  assert.equal(made.status, 201, made.text);
  const now = await push(api, '?publish=now');
  assert.deepEqual([now.status, now.body.rollout, await served(api)], [409, made.body.id, 1], now.text);
  const { body } = await api.call('GET', `${base}/config/status`);
  const { step, steps, state } = body.rollout;
  assert.deepEqual(
    [body.version, body.stable_version, body.state, state, step, steps],
    [2, 1, 'held', 'running', 1, 1],
  );
  const waiting = await push(api, '?wait=acked&timeout=50ms');
  assert.deepEqual([waiting.status, waiting.body.rollout], [409, made.body.id], waiting.text);
});

test('wait=acked is refused for what stays held: no worker will answer', async (t) => {
  const api = await setUp(t);
  const { status, body } = await push(api, '?wait=acked&timeout=50ms');
  assert.deepEqual([status, body.type, body.state], [409, 'urn:arcus:problem:conflict', 'held']);
  assert.match(body.detail, /^release 2 is held, and 1 is served: nothing goes out that a worker could answer for/);
  assert.equal((await push(api, '?publish=now&wait=acked&timeout=50ms')).status, 504, 'this one is waited for');
  // A store that is slow has it later.
  await until(async () => (await served(api)) === 2);
});

const put = (api: TestApi, query: string, status: string) =>
  api.call('PUT', `${base}${query}`, { body: { tenant_name: 'acme', status }, match: '*' });
/** The status that workers are told, by the release that is served. */
const servedStatus = async (api: TestApi) =>
  (await api.call('GET', `${base}/releases/${await served(api)}/document`)).body.tenant.status;

test('a suspension is served at once, also with publish=hold and while a release is held or rolled out', async (t) => {
  const api = await setUp(t);
  const held = await put(api, '?publish=hold', 'suspended');
  assert.deepEqual(
    [held.status, held.headers['arcus-release-state'], held.headers['arcus-release']],
    [200, 'published', '3'],
  );
  assert.deepEqual([await served(api), await servedStatus(api)], [3, 'suspended']);
  const open = await put(api, '?publish=hold', 'active');
  assert.equal(open.headers['arcus-release-state'], 'held', 'what lets traffic through can wait');
  assert.equal(await servedStatus(api), 'suspended');
  const now = await put(api, '', 'active');
  assert.deepEqual(
    [now.status, now.headers['arcus-release-state'], await servedStatus(api)],
    [200, 'published', 'active'],
  );
  await api.call('POST', `${base}/rollouts`, { body: { percent: 5, bake_seconds: 600 } });
  assert.equal((await put(api, '?publish=hold', 'inactive')).headers['arcus-release-state'], 'published');
  assert.equal(await servedStatus(api), 'inactive');
  assert.equal((await api.call('GET', `${base}/rollouts`)).body.items[0].state, 'aborted');
});

test('a suspension with publish=hold is published when nothing is held, and leaves nothing held', async (t) => {
  const api = await setUp(t);
  await push(api, '?publish=now');
  assert.equal((await put(api, '?publish=hold', 'suspended')).headers['arcus-release-state'], 'published');
  assert.deepEqual([await served(api), await servedStatus(api)], [3, 'suspended']);
  assert.equal((await api.call('GET', `${base}`)).body.version, 3);
});

test('a status that is held is served when it is put again without hold, though the tenant has it already', async (t) => {
  const api = await setUp(t);
  await put(api, '?publish=now', 'suspended');
  await put(api, '?publish=hold', 'active');
  const tenant = await api.call('GET', base);
  assert.deepEqual([tenant.body.status, await servedStatus(api)], ['active', 'suspended']);
  const again = await put(api, '', 'active');
  assert.deepEqual([again.headers['arcus-release-state'], await servedStatus(api)], ['published', 'active']);
});

test('reload does with what is held what publish says', async (t) => {
  const api = await setUp(t);
  assert.equal((await api.call('POST', `${base}/reload`)).status, 409);
  const held = await api.call('POST', `${base}/reload?publish=hold`);
  assert.deepEqual([held.status, held.body.state, held.body.version, await served(api)], [200, 'held', 3, 1]);
  const now = await api.call('POST', `${base}/reload?publish=now`);
  assert.deepEqual([now.status, now.body.state, now.body.version, await served(api)], [200, 'published', 4, 4]);
});

test('a rollback to what is served makes no release, unless it takes back what is held', async (t) => {
  const api = await setUp(t);
  const back = (version: number) => api.call('POST', `${base}/rollback`, { body: { version } });
  const rid = await back(1);
  assert.deepEqual([rid.body.version, rid.body.changed, rid.body.state, await served(api)], [3, true, 'published', 3]);
  for (const version of [3, 1]) {
    const { status, body } = await back(version);
    assert.deepEqual([status, body.version, body.changed, body.state], [200, 3, false, 'published'], `to ${version}`);
  }
  await push(api, '?publish=hold');
  const out = await back(4);
  assert.deepEqual(
    [out.body.version, out.body.changed, await served(api)],
    [4, false, 4],
    'the held one is served now',
  );
  assert.deepEqual(await states(api), ['published', 'published', 'superseded', 'published']);
});

test('a query that contradicts itself is refused, and names the field', async (t) => {
  const api = await setUp(t);
  const rollout = encodeURIComponent(JSON.stringify({ percent: 5 }));
  for (const [query, at] of [
    ['?timeout=5s', 'timeout'],
    ['?dry_run=true&timeout=5s', 'timeout'],
    [`?rollout=${rollout}&timeout=5s`, 'timeout'],
    ['?publish=hold&wait=acked', 'wait'],
  ] as const) {
    const { status, body } = await push(api, query);
    assert.deepEqual([status, body.errors?.[0].pointer], [400, `/query/${at}`], query);
  }
  const back = await api.call('POST', `${base}/rollback?timeout=5s`, { body: { version: 1 } });
  assert.equal(back.status, 400);
  assert.equal(back.body.errors[0].pointer, '/query/timeout');
});
