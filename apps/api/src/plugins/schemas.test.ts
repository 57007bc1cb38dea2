import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testApi } from '../testing.ts';

/** What passes for the body of a route: bodies are looked at before queries. */
const bodies: Record<string, object> = {
  'POST /tenants': { tenant_id: 'x', tenant_name: 'x' },
  'PUT /tenants/{tenant_id}': { tenant_name: 'x' },
  'POST /tenants/{tenant_id}/rollback': { version: 1 },
  'POST /tenants/{tenant_id}/drafts': { name: 'x' },
  'POST /tokens': { name: 'x', role: 'viewer' },
};

interface Described {
  requestBody?: unknown;
}

test('no route ignores a query key that it does not know, or a body that it does not read', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  const { paths } = (await api.app.http.inject('/openapi.json')).json() as {
    paths: Record<string, Record<string, Described>>;
  };
  let [asked, sent] = [0, 0];
  for (const [path, methods] of Object.entries(paths)) {
    const url = path
      .replace('{rollout_id}', 'current')
      .replaceAll(/\{(?:version|other)\}/g, '1')
      .replaceAll(/\{[a-z_]+\}/g, 'x');
    for (const [name, operation] of Object.entries(methods)) {
      const method = name.toUpperCase();
      const { status, body, text } = await api.call(method, `${url}?bogus=1`, {
        ...(operation.requestBody ? { body: bodies[`${method} ${path.replace('/api/v1', '')}`] ?? {} } : {}),
      });
      const fault = body?.errors?.[0];
      assert.deepEqual(
        [status, fault?.pointer, fault?.code],
        [400, '/query/bogus', 'unknown_key'],
        `${method} ${path}: ${text}`,
      );
      assert.equal(body.detail, 'unknown query key "bogus"', `${method} ${path}`);
      asked++;
      if (method === 'GET' || operation.requestBody) continue;
      const refused = await api.call(method, url, { body: { dry_run: true } });
      assert.deepEqual([refused.status, refused.body?.errors?.[0].code], [400, 'unexpected_body'], `${method} ${path}`);
      const empty = await api.call(method, url, { body: {} });
      assert.notEqual(empty.body?.errors?.[0].code, 'unexpected_body', `${method} ${path}`);
      sent++;
    }
  }
  assert.ok(asked > 100 && sent > 20, `${asked} ${sent}`);
});
