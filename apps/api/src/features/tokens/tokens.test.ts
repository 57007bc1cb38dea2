import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { until } from '@arcus/testkit/until.ts';
import { testApi } from '../../testing.ts';
import { ensureAdminToken } from './store.ts';

async function setUp(t: TestContext) {
  const clock = { now: Date.now() };
  const api = await testApi({ now: () => clock.now });
  t.after(() => api.close());
  await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'x' } });
  await api.call('POST', '/tenants', { body: { tenant_id: 'other', tenant_name: 'x' } });
  return { api, clock };
}

test('a request without a token, or with a wrong one, is 401 and says how', async (t) => {
  const { api } = await setUp(t);
  for (const token of [null, 'arcus_wrong', '']) {
    const answer = await api.call('GET', '/tenants', { token });
    assert.equal(answer.status, 401);
    assert.match(String(answer.headers['www-authenticate']), /^Bearer/);
    assert.match(String(answer.headers['content-type']), /application\/problem\+json/);
  }
});

test('a viewer reads and never writes; one of a tenant reads only that', async (t) => {
  const { api } = await setUp(t);
  const all = (await api.call('POST', '/tokens', { body: { name: 'v', role: 'viewer' } })).body.token;
  const one = (await api.call('POST', '/tokens', { body: { name: 'v1', role: 'viewer', tenant_id: 'acme' } })).body
    .token;
  assert.equal((await api.call('GET', '/tenants/other', { token: all })).status, 200);
  assert.equal((await api.call('GET', '/workers', { token: all })).status, 200);
  assert.equal((await api.call('GET', '/tokens', { token: all })).status, 403);
  assert.equal((await api.call('GET', '/tenants/acme', { token: one })).status, 200);
  assert.equal((await api.call('GET', '/tenants/other', { token: one })).status, 404);
  assert.equal((await api.call('GET', '/workers', { token: one })).status, 403);
  for (const token of [all, one]) {
    const write = { token, body: { type: 'dummy_deny' } };
    assert.equal((await api.call('PUT', '/tenants/acme/escapers/x', write)).status, 403);
    assert.equal((await api.call('POST', '/tenants/acme/reload', { token })).status, 403);
  }
});

test('a token is shown once, stored as a hash, listed without it, and dead once revoked', async (t) => {
  const { api } = await setUp(t);
  const made = await api.call('POST', '/tokens', { body: { name: 'ci', role: 'admin' } });
  const { token, token_id } = made.body;
  assert.equal((await api.call('GET', '/tokens', { token })).status, 200);
  const list = await api.call('GET', '/tokens');
  assert.doesNotMatch(list.text, new RegExp(token));
  assert.doesNotMatch(JSON.stringify(await api.db.client.apiToken.findMany()), new RegExp(token));
  await until(async () => (await api.call('GET', `/tokens/${token_id}`)).body.last_used_at !== null);
  assert.equal((await api.call('DELETE', `/tokens/${token_id}`)).status, 428);
  assert.equal((await api.call('DELETE', `/tokens/${token_id}`, { match: made.etag })).status, 204);
  assert.equal((await api.call('GET', '/tokens', { token })).status, 401);
  assert.ok((await api.call('GET', `/tokens/${token_id}`)).body.revoked_at);
  assert.equal((await api.call('DELETE', `/tokens/${token_id}`, { match: '*' })).status, 404, 'it is gone already');
  const audit = await api.call('GET', '/audit?action=token.revoke');
  assert.deepEqual(
    audit.body.items.map((item: { target: string }) => item.target),
    [`tokens/${token_id}`],
  );
});

test('a token ends when it expires', async (t) => {
  const { api, clock } = await setUp(t);
  const expires_at = new Date(clock.now + 60_000).toISOString();
  const { token } = (await api.call('POST', '/tokens', { body: { name: 'x', role: 'viewer', expires_at } })).body;
  assert.equal((await api.call('GET', '/tenants', { token })).status, 200);
  clock.now += 60_001;
  assert.equal((await api.call('GET', '/tenants', { token })).status, 401);
});

test('a token that makes no sense is refused with a pointer', async (t) => {
  const { api } = await setUp(t);
  const bodies = [
    { name: 'x', role: 'tenant' },
    { name: 'x', role: 'admin', tenant_id: 'acme' },
    { name: 'x', role: 'tenant', tenant_id: 'nobody' },
  ];
  for (const body of bodies) {
    const answer = await api.call('POST', '/tokens', { body });
    assert.equal(answer.status, 422, JSON.stringify(body));
    assert.equal(answer.body.errors[0].pointer, '/tenant_id');
  }
});

test('the first admin token is made once; when none works any more, again', async (t) => {
  const { api } = await setUp(t);
  assert.equal(await ensureAdminToken(api.db), null);
  const [{ token_id }] = (await api.call('GET', '/tokens')).body.items;
  await api.call('DELETE', `/tokens/${token_id}`, { match: '*' });
  const token = await ensureAdminToken(api.db);
  assert.ok(token);
  assert.equal((await api.call('GET', '/tokens', { token })).status, 200);
});
