import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kinds } from '@arcus/gateway/config.ts';
import { Validator } from '@seriousme/openapi-schema-validator';
import { smallConfig, testApi } from '../testing.ts';

test('/openapi.json describes every route and every kind, and the page is there', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  const response = await api.app.http.inject('/openapi.json');
  assert.equal(response.statusCode, 200);
  const document = response.json();
  assert.equal(document.openapi, '3.1.0');
  for (const path of [
    '/tenants',
    '/tenants/{tenant_id}',
    '/tenants/{tenant_id}/config',
    '/tenants/{tenant_id}/config/status',
    '/tenants/{tenant_id}/reload',
    '/tenants/{tenant_id}/metrics',
    '/tenants/{tenant_id}/releases/{version}',
    '/tenants/{tenant_id}/releases/{version}/document',
    '/tenants/{tenant_id}/releases/{version}/diff/{other}',
    '/tenants/{tenant_id}/rollback',
    '/tenants/{tenant_id}/drafts/{draft}',
    ...['config', 'users/{username}', 'validate', 'diff', 'apply', 'rebase'].map(
      (path) => `/tenants/{tenant_id}/drafts/{draft}/${path}`,
    ),
    '/tenants/{tenant_id}/users/{username}',
    '/workers/{worker_id}',
    '/workers/{worker_id}/tenants',
    ...['servers', 'escapers', 'resolvers', 'user-groups', 'auditors', 'policies'].map(
      (f) => `/tenants/{tenant_id}/${f}/{name}`,
    ),
    '/config/global',
    '/config/reload',
    '/workers',
    '/tokens',
    '/metrics',
    '/health',
  ]) {
    assert.ok(document.paths[`/api/v1${path}`], path);
  }
  const { schemas } = document.components;
  const mapping = Object.keys(schemas.Escaper.discriminator.mapping);
  assert.deepEqual(mapping.sort(), kinds.escapers.map((kind) => kind.type).sort());
  const refs = [...new Set(response.body.match(/#\/components\/schemas\/[A-Za-z0-9_]+/g))];
  assert.deepEqual(
    refs.filter((ref) => !schemas[ref.split('/').at(-1)!]),
    [],
    'no reference dangles',
  );
  const bare = Object.entries<Record<string, any>>(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, op]) => (op.summary && op.tags?.length ? [] : [`${method} ${path}`])),
  );
  assert.deepEqual(bare, []);
  assert.match((await api.app.http.inject('/docs/')).body, /swagger-ui/);
  assert.equal((await api.app.http.inject('/docs/static/swagger-ui.css')).statusCode, 200);
});

test('/openapi.json is OpenAPI 3.1, and names each operation once', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  const document = (await api.app.http.inject('/openapi.json')).json();
  const { valid, errors } = await new Validator().validate(structuredClone(document));
  assert.ok(valid, JSON.stringify(errors, null, 2));
  const ids = operationsOf(document).map(({ operation }) => operation.operationId);
  assert.deepEqual(ids, [...new Set(ids)]);
  assert.ok(ids.includes('putTenantsUserGroupsByName'));
  const limit = document.paths['/api/v1/tenants'].get.parameters.find((one: { name: string }) => one.name === 'limit');
  assert.deepEqual(limit.schema, { type: 'integer', minimum: 1, maximum: 1000, default: 100 });
});

test('what /openapi.json says of entity tags and releases is so', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  const config = {
    ...smallConfig(),
    auditors: [{ name: 'a', type: 'protocol_inspection' }],
    policies: [{ name: 'p', type: 'ip_filter', default: 'allow' }],
  };
  const body = { tenant_id: 'acme', tenant_name: 'Acme', config };
  const made = await api.call('POST', '/tenants', { body });
  assert.equal(made.status, 201, made.text);
  await api.call('POST', '/tenants/acme/drafts', { body: { name: 'd' } });
  const { token_id } = (await api.call('POST', '/tokens', { body: { name: 'x', role: 'viewer' } })).body;
  const names: Record<string, string> = {
    servers: 'main',
    escapers: 'out',
    resolvers: 'system',
    'user-groups': 'staff',
    auditors: 'a',
    policies: 'p',
  };
  const existing = (path: string) =>
    path
      .replace('{tenant_id}', 'acme')
      .replace('{draft}', 'd')
      .replace('{username}', 'alice')
      .replace('{token_id}', token_id)
      .replace(/([a-z-]+)\/\{name\}/, (_, family: string) => `${family}/${names[family]}`);
  const document = (await api.app.http.inject('/openapi.json')).json();
  // Nothing is rolled out here.
  const said = (response: { headers?: object } | undefined) =>
    Object.keys(response?.headers ?? {})
      .map((name) => name.toLowerCase())
      .filter((name) => name !== 'arcus-rollout');
  let tagged = 0;
  for (const { path, method, operation } of operationsOf(document)) {
    const url = existing(path);
    if (/[{]/.test(url)) continue;
    if (operation.parameters?.some((one) => one.$ref?.endsWith('/IfMatch'))) {
      tagged++;
      const current = (await api.call('GET', url)).body;
      const sent = method === 'put' ? { body: withoutExtras(path, current) } : {};
      const answer = await api.call(method.toUpperCase(), url, sent);
      assert.equal(answer.status, 428, `${method} ${url}: ${answer.text}`);
      assert.equal((await api.call(method.toUpperCase(), url, { ...sent, match: '"0"' })).status, 412);
      if (method === 'put') {
        const put = await api.call('PUT', url, { ...sent, match: '*' });
        assert.equal(put.status, 200, `${url}: ${put.text}`);
        for (const name of said(operation.responses['200'])) assert.ok(put.headers[name], `${method} ${url}: ${name}`);
      }
    } else assert.ok(method !== 'put', `${url} asks for no If-Match`);
    if (method === 'get') {
      const { headers, text } = await api.call('GET', url);
      for (const name of said(operation.responses['200']))
        assert.ok(headers[name], `${method} ${url}: ${name}: ${text}`);
    }
  }
  assert.ok(tagged > 30, String(tagged));
  for (const name of said(document.paths['/api/v1/tenants'].post.responses['201'])) assert.ok(made.headers[name], name);
});

interface Described {
  operationId: string;
  parameters?: { $ref?: string }[];
  responses: Record<string, { headers?: object }>;
}

const operationsOf = (document: { paths: Record<string, Record<string, Described>> }) =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );

/** What GET shows and PUT does not take. */
function withoutExtras(path: string, shown: Record<string, unknown>): object {
  const extras = [
    'credential',
    'created_at',
    'updated_at',
    ...(path.endsWith('{tenant_id}') ? ['tenant_id', 'version', 'moving', 'held'] : []),
  ];
  return Object.fromEntries(Object.entries(shown).filter(([key]) => !extras.includes(key)));
}

test('every route says who may use it', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  const document = (await api.app.http.inject('/openapi.json')).json();
  for (const [path, methods] of Object.entries<object>(document.paths)) {
    for (const method of Object.keys(methods)) {
      if (path === '/api/v1/health') continue;
      const url = path.replaceAll(/\{[a-z_]+\}/g, '1');
      const answer = await api.call(method.toUpperCase(), url, { token: null });
      assert.equal(answer.status, 401, `${method} ${path}`);
    }
  }
});

test('a path without that method names those it has', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  for (const [method, url, allow] of [
    ['PATCH', '/tenants/acme', 'DELETE, GET, HEAD, PUT'],
    ['DELETE', '/tenants?limit=1', 'GET, HEAD, POST'],
    ['GET', '/config/reload', 'POST'],
    ['PUT', '/tenants/acme/drafts/d/users/u%2Fv', undefined],
    ['POST', '/tenants/acme/escapers/e', 'DELETE, GET, HEAD, PUT'],
    ['POST', '/tenants/acme/escapers/e/f', undefined],
  ] as const) {
    const answer = await api.call(method, url, { token: null });
    assert.equal(answer.headers.allow, allow, `${method} ${url}`);
    if (allow) assert.deepEqual([answer.status, answer.body.type], [405, 'urn:arcus:problem:method_not_allowed']);
  }
});

test('a number that is too large is one fault', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  const { status, body } = await api.call('GET', '/tenants/acme/releases/99999999999999999999');
  assert.equal(status, 400);
  assert.deepEqual(
    body.errors.map((e: { message: string }) => e.message),
    ['must be at most 2147483647'],
  );
});

test('what is no route, no JSON or too much is a problem document too', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  const cases: [string, string, object, number][] = [
    ['GET', '/nothing', {}, 404],
    ['POST', '/tenants', { body: '{', headers: { 'content-type': 'application/json' } }, 400],
    ['POST', '/tenants', { body: '<a/>', headers: { 'content-type': 'text/xml' } }, 415],
    ['POST', '/tokens', { body: { name: 'x'.repeat(9_000_000), role: 'admin' } }, 413],
    ['GET', '/tenants?limit=zero', {}, 400],
    ['GET', '/tenants?unknown=1', {}, 400],
    ['POST', '/tenants', { body: { tenant_id: 'Not Valid', tenant_name: '', extra: 1 } }, 422],
  ];
  for (const [method, url, options, status] of cases) {
    const answer = await api.call(method, url, options);
    assert.equal(answer.status, status, `${method} ${url}: ${answer.text}`);
    assert.match(String(answer.headers['content-type']), /application\/problem\+json/);
    assert.equal(answer.body.status, status);
    assert.equal(answer.body.instance, answer.headers['x-request-id']);
  }
  const { body } = await api.call('POST', '/tenants', { body: { tenant_id: 'Not Valid', tenant_name: '', extra: 1 } });
  const pointers = body.errors.map((e: { pointer: string }) => e.pointer).sort();
  assert.deepEqual(pointers, ['/extra', '/tenant_id', '/tenant_name']);
});
