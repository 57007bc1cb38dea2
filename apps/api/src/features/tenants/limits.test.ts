import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testApi } from '../../testing.ts';

const acme = { tenant_id: 'acme', tenant_name: 'Acme' };

test('a tenant’s limits are stored, released and changed; what would do nothing is refused', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  const resource_limits = { max_concurrent_connections: 100, max_requests_per_second: 0.5 };
  for (const [name, value] of [
    ['max_bandwidth_mbps', 10],
    ['max_memory_mb', 512],
    ['max_cpu_cores', 2],
    ['max_requests_per_second', 0],
    ['max_concurrent_connections', 1.5],
  ] as const) {
    const answer = await api.call('POST', '/tenants', { body: { ...acme, resource_limits: { [name]: value } } });
    assert.equal(answer.status, 422, name);
    assert.match(answer.text, new RegExp(`/resource_limits/${name}"`));
  }
  const made = await api.call('POST', '/tenants', { body: { ...acme, resource_limits } });
  assert.deepEqual([made.status, made.body.resource_limits], [201, resource_limits]);
  const released = await api.call('GET', '/tenants/acme/releases/1/document');
  assert.deepEqual(released.body.tenant.resource_limits, resource_limits);

  const body = { tenant_name: 'Acme', resource_limits: { max_requests_per_second: 7 } };
  const changed = await api.call('PUT', '/tenants/acme', { body, match: made.etag });
  assert.deepEqual([changed.status, changed.body.version], [200, 2]);
  const again = await api.call('GET', '/tenants/acme');
  assert.deepEqual(again.body.resource_limits, { max_requests_per_second: 7 });
});

test('a tenant that was stored with limits that are none any more loads without them, and can be written', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  await api.call('POST', '/tenants', { body: acme });
  const stored = { max_memory_mb: 512, max_cpu_cores: 2, max_bandwidth_mbps: 10, max_concurrent_connections: 9 };
  await api.db.client.tenant.update({
    where: { tenant_id: 'acme' },
    data: { resource_limits: stored, changes: { increment: 1 } },
  });
  const loaded = await api.call('GET', '/tenants/acme');
  assert.deepEqual([loaded.status, loaded.body.resource_limits], [200, { max_concurrent_connections: 9 }]);
  assert.equal((await api.call('GET', '/tenants')).status, 200);
  const write = await api.call('PUT', '/tenants/acme/escapers/no', { body: { type: 'dummy_deny' } });
  assert.equal(write.status, 201);
  const { tenant_name, resource_limits } = loaded.body;
  const back = await api.call('PUT', '/tenants/acme', { body: { tenant_name, resource_limits }, match: '*' });
  assert.equal(back.status, 200, 'what was read can be written');
});
