import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FastifyBaseLogger } from 'fastify';
import { pino } from 'pino';
import { smallConfig, testApi } from '../testing.ts';

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

test('a number in a path or a query is decimal, and a choice names all there is to choose from', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'x' } });
  await api.call('POST', '/tenants/acme/drafts', { body: { name: 'q' } });
  for (const number of ['0x1', '1e0', '1.0', '+1', '%201', '', 'one']) {
    for (const [url, name] of [
      [`/tenants?limit=${number}`, 'limit'],
      [`/tenants/acme/metrics?users=${number}`, 'users'],
      [`/workers/w/tenants?limit=${number}`, 'limit'],
      [`/tenants/acme/rollouts?version=${number}`, 'version'],
      [`/tenants/acme/releases/1/diff?against=${number}`, 'against'],
      ...(number === '' ? [] : [[`/tenants/acme/releases/${number}`, 'version']]),
    ]) {
      const { status, body, text } = await api.call('GET', url!);
      assert.deepEqual([status, body.detail], [400, `${name} must be a whole number`], `${url}: ${text}`);
    }
    const timeout = await api.call('POST', `/tenants/acme/reload?timeout=${number}s`);
    assert.equal(timeout.status, 400, `${number}s`);
    const against = await api.call('GET', `/tenants/acme/drafts/q/diff?against=${number}`);
    assert.equal(against.body.detail, 'against must be stable, latest or the version of a release');
  }
  assert.equal((await api.call('GET', '/tenants/acme/drafts/q/diff?against=1')).status, 200);
  assert.equal((await api.call('GET', '/tenants?limit=-1')).body.detail, 'limit must be at least 1');
});

test('a parameter that does not go with another is named', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'x' } });
  for (const [query, pointer, detail] of [
    ['rollout={}&wait=acked', '/query/wait', '?rollout= goes without publish and wait'],
    ['rollout={}&publish=hold', '/query/publish', '?rollout= goes without publish and wait'],
    ['wait=acked&publish=hold', '/query/wait', 'wait cannot be with publish=hold'],
  ]) {
    const { status, body, text } = await api.call('PUT', `/tenants/acme/config?${query}`, { body: {}, match: '*' });
    assert.deepEqual([status, body.errors?.[0].pointer], [400, pointer], text);
    assert.ok(body.detail.startsWith(detail), text);
  }
});

test('what is not there is named', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'x' } });
  await api.call('POST', '/tenants', { body: { tenant_id: 'other', tenant_name: 'x' } });
  for (let i = 2; i <= 5; i++) await api.call('POST', '/tenants/acme/reload');
  await api.call('POST', '/tenants/acme/drafts', { body: { name: 'd' } });
  const noTenant = 'There is no tenant "nope"';
  const id = 'r-0123456789abcdef';
  const cases: [string, string, string, object?][] = [
    ...[
      '',
      '/config',
      '/config/status',
      '/escapers',
      '/escapers/e',
      '/users',
      '/users/u',
      '/releases',
      '/releases/1',
    ].map((path): [string, string, string] => ['GET', `/tenants/nope${path}`, noTenant]),
    ...['/drafts', '/drafts/d', '/drafts/d/users/u', '/rollouts', '/rollouts/current', `/rollouts/${id}`, '/audit'].map(
      (path): [string, string, string] => ['GET', `/tenants/nope${path}`, noTenant],
    ),
    ['DELETE', '/tenants/nope', noTenant],
    ['DELETE', '/tenants/nope/users/u', noTenant],
    ['DELETE', '/tenants/nope/drafts/d', noTenant],
    ['PUT', '/tenants/nope', noTenant, { tenant_name: 'x' }],
    ['PUT', '/tenants/nope/config', noTenant, {}],
    ['POST', '/tenants/nope/drafts', noTenant, { name: 'd' }],
    ['POST', '/tenants/nope/rollback', noTenant, { version: 1 }],
    ['POST', '/tenants/nope/rollouts', noTenant, {}],
    ['POST', '/tenants/nope/rollouts/current/abort', noTenant],
    ['POST', '/tenants/nope/reload', noTenant],
    ['GET', '/tenants/acme/releases/99', 'There is no release 99 (kept: 1–5)'],
    ['GET', '/tenants/acme/releases/1/diff/99', 'There is no release 99 (kept: 1–5)'],
    ['POST', '/tenants/acme/rollback', 'There is no release 99 (kept: 1–5)', { version: 99 }],
    ['GET', '/tenants/_global/releases/1', 'There is no release 1, and no other yet'],
    ['GET', '/tenants/acme/rollouts/current', 'No rollout is under way'],
    ['POST', '/tenants/acme/rollouts/current/abort', 'No rollout is under way'],
    ['GET', `/tenants/acme/rollouts/${id}`, `There is no rollout "${id}"`],
    ['POST', '/tenants/acme/drafts/q/rebase', 'There is no draft "q"'],
    ['GET', '/tenants/acme/drafts/q/escapers/e', 'There is no draft "q"'],
    ['DELETE', '/tenants/acme/drafts/q', 'There is no draft "q"'],
    ['GET', '/tenants/acme/drafts/d/escapers/e', 'There is no escaper "e"'],
    ['DELETE', '/tenants/acme/drafts/d/users/u', 'There is no user "u"'],
    ['GET', '/tenants/acme/user-groups/g', 'There is no user group "g"'],
    ['DELETE', '/tenants/acme/escapers/e', 'There is no escaper "e"'],
    ['GET', '/tenants/acme/users/u%22%0a', 'There is no user "u\\"\\n"'],
    ['DELETE', '/tenants/acme/users/u', 'There is no user "u"'],
    ['GET', '/workers/w', 'There is no worker "w"'],
    ['DELETE', '/workers/w', 'There is no worker "w"'],
    ['GET', '/tokens/x', 'There is no token "x"'],
  ];
  for (const [method, url, detail, body] of cases) {
    const answer = await api.call(method, url, { body });
    assert.deepEqual([answer.status, answer.body.detail], [404, detail], `${method} ${url}: ${answer.text}`);
  }
  await api.db.client.release.deleteMany({ where: { tenant_id: 'acme', version: { in: [2, 3] } } });
  const gone = await api.call('GET', '/tenants/acme/releases/2');
  assert.equal(gone.body.detail, 'There is no release 2 (kept: 3 of 1–5)');

  // Whoever may know of one tenant only cannot tell others from none.
  const { token, token_id } = (
    await api.call('POST', '/tokens', { body: { name: 'x', role: 'tenant', tenant_id: 'acme' } })
  ).body;
  for (const path of ['', '/config', '/releases/99', '/rollouts/current', '/drafts/q']) {
    const [there, none] = [
      await api.call('GET', `/tenants/other${path}`, { token }),
      await api.call('GET', `/tenants/nope${path}`, { token }),
    ];
    const known = await api.call('GET', `/tenants/nope${path}`);
    const told = ({ status, body }: typeof there) => [status, body.detail.replace('other', 'nope')];
    assert.deepEqual(told(there), told(none));
    assert.deepEqual(told(there), told(known));
  }
  await api.call('DELETE', `/tokens/${token_id}`, { match: '*' });
  const again = await api.call('DELETE', `/tokens/${token_id}`, { match: '*' });
  assert.deepEqual([again.status, again.body.detail], [404, 'This token is revoked already']);
});

test('a fault points into the body that was sent, or into the release where none was', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  const config = smallConfig();
  const moved = { ...config, servers: [{ ...config.servers[0], listen: { address: '127.0.0.1:18081' } }] };
  const broken = { ...config, resolvers: [] };
  const unknown = { name: 'x', type: 'direct_fixed', resolver: 'gone' };
  const named = (tenant_id: string, config: object) => ({ body: { tenant_id, tenant_name: 'x', config } });
  await api.call('POST', '/tenants', named('acme', config));
  await api.call('PUT', '/tenants/acme/config', { body: moved, match: '*' });
  await api.call('POST', '/tenants', named('other', config));
  await api.call('POST', '/tenants/acme/drafts', { body: { name: 'd' } });
  await api.call('DELETE', '/tenants/acme/drafts/d/resolvers/system', { match: '*' });
  const cases: [string, string, object, string][] = [
    ['PUT', '/tenants/acme/config', { body: broken, match: '*' }, '/escapers/0/resolver'],
    ['POST', '/tenants', named('third', broken), '/config/escapers/0/resolver'],
    ['POST', '/tenants/acme/escapers', { body: unknown }, '/resolver'],
    ['DELETE', '/tenants/acme/resolvers/system', { match: '*' }, '/config/escapers/0/resolver'],
    ['POST', '/tenants/acme/rollback', { body: { version: 1 } }, '/config/servers/0/listen/address'],
    ['POST', '/tenants/acme/drafts/d/validate', {}, '/escapers/0/resolver'],
    ['POST', '/tenants/acme/drafts/d/apply', {}, '/escapers/0/resolver'],
  ];
  for (const [method, url, options, pointer] of cases) {
    const { status, body, text } = await api.call(method, url, options);
    assert.deepEqual([status, body.errors?.[0].pointer], [422, pointer], `${method} ${url}: ${text}`);
  }
});
