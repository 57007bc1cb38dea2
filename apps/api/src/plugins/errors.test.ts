import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FastifyBaseLogger } from 'fastify';
import { pino } from 'pino';
import { testApi } from '../testing.ts';

test('a release that workers have not answered for in time is told to who asked, and is no error of the service', async (t) => {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const api = await testApi({ log: log as FastifyBaseLogger });
  t.after(() => api.close());
  const body = { tenant_id: 'acme', tenant_name: 'x' };
  const answer = await api.call('POST', '/tenants?wait=acked&timeout=1ms', { body });
  assert.equal(answer.status, 504, answer.text);
  const loud = lines.filter((line) => (line.level as number) > 30).map(({ level, msg, err }) => ({ level, msg, err }));
  assert.deepEqual(loud, [{ level: 40, msg: 'release_unacknowledged', err: undefined }]);
});

test('a conflict is not told as something that exists already, unless it does', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  const body = { tenant_id: 'acme', tenant_name: 'x' };
  const first = await api.call('POST', '/tenants?publish=hold', { body });
  assert.deepEqual([first.status, first.body.title], [409, 'It does not go with what is there now']);
  assert.match(first.body.detail, /^the first release cannot be held/);
  await api.call('POST', '/tenants', { body });
  assert.equal((await api.call('POST', '/tenants', { body })).body.detail, 'A tenant with this id exists already');
});

test('one fault is told with its field in the detail', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'x' } });
  const cases: [string, string, object | undefined, string][] = [
    [
      'PUT',
      '/tenants/acme/config',
      { escapers: [{ name: 'a', type: 'proxy_http' }] },
      'escapers/0/proxy_addr is required',
    ],
    [
      'PUT',
      '/tenants/acme/config',
      { escapers: [{ name: 'a' }] },
      'escapers/0/type is required; known: direct_fixed, ',
    ],
    [
      'PUT',
      '/tenants/acme/config',
      { escapers: [{ name: 'a', type: 'direct_fixed', resolver: 'r' }] },
      'escapers/0/resolver: there is no "r" in resolvers',
    ],
    ['PUT', '/tenants/acme/escapers/a', { type: 'dummy_deny', bogus: 1 }, 'unknown key "bogus"'],
    [
      'PUT',
      '/tenants/acme/config',
      { escapers: [{ name: 'a', type: 'dummy_deny', bogus: 1 }] },
      'escapers/0: unknown key "bogus"',
    ],
    ['POST', '/tenants/acme/escapers', [], 'must be an object'],
    ['POST', '/tenants/acme/escapers', {}, 'name is required'],
    ['POST', '/tenants/acme/users', { username: 1 }, 'username must be a string'],
    ['GET', '/tenants?bogus=1&limit=0', undefined, 'limit must be at least 1; unknown query key "bogus"'],
    ['POST', '/tenants/acme/reload?wait=x', undefined, 'wait must be "acked"'],
    ['GET', '/tenants/acme/rollouts/x', undefined, 'rollout_id must be current or the id of a rollout'],
  ];
  for (const [method, url, body, detail] of cases) {
    const answer = await api.call(method, url, { body, ...(url.endsWith('/config') ? { match: '*' } : {}) });
    assert.ok(answer.body.detail?.startsWith(detail), `${method} ${url}: ${answer.text}`);
  }
});
