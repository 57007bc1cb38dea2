import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testApi } from '../testing.ts';

test('what people read has no control characters, and metadata is small', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  const status = async (method: string, url: string, body?: object) => (await api.call(method, url, { body })).status;
  const tenant = { tenant_id: 'acme', tenant_name: 'Acme ☕ Ltd' };
  assert.equal(await status('POST', '/tenants', tenant), 201);
  assert.equal(await status('POST', '/tenants/acme/reload?message=Fix%0A%0AIt%20was%20broken%0A'), 200);
  for (const bad of ['\u0000', 'a\u001b[31m', 'a\nb', '\u0085']) {
    assert.equal(await status('POST', '/tenants', { tenant_id: 'b', tenant_name: bad }), 422);
    assert.equal(await status('POST', '/tokens', { name: bad, role: 'viewer' }), 422);
  }
  assert.equal(await status('POST', '/tenants/acme/reload?message=%1b[31m'), 400);
  assert.equal(await status('POST', '/tenants/acme/drafts', { name: 'd', message: '\u0007' }), 422);
  const with_ = (metadata: object) => status('POST', '/tenants', { ...tenant, tenant_id: 'c', metadata });
  assert.equal(await with_({ note: 'x'.repeat(17_000) }), 422);
  assert.equal(await with_({ note: 'x'.repeat(16_000) }), 201);
});
