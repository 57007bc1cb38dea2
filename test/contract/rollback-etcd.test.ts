/** What a rollback brings into a real etcd: a manifest and a head. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { smallConfig, testApi } from '@arcus/api/testing.ts';
import { openStore } from '@arcus/control/open.ts';
import type { ConfigStore } from '@arcus/control/store.ts';
import { startEtcd } from '@arcus/testkit/etcd.ts';

test('a rollback writes no blob, neither into etcd nor into the database, though the one before had none of them', async (t) => {
  const etcd = await startEtcd();
  t.after(() => etcd.close());
  const store = await openStore(etcd.url, { deadline: 30_000 });
  const api = await testApi({ store });
  t.after(async () => {
    await api.close();
    await store.close();
  });
  /** Bytes of blobs that went to etcd, and releases that went there in one step. */
  const sent = { blobs: 0, steps: 0 };
  const publish = store.publish!.bind(store);
  t.mock.method(store as Required<ConfigStore>, 'publish', async (release: Parameters<typeof publish>[0]) => {
    for (const body of release.blobs.values()) sent.blobs += body.length;
    const revision = await publish(release);
    if (revision !== null) sent.steps++;
    return revision;
  });
  const putBlob = store.putBlob.bind(store);
  t.mock.method(store, 'putBlob', (name: string, body: Uint8Array) => {
    sent.blobs += body.length;
    return putBlob(name, body);
  });

  const body = { tenant_id: 'acme', tenant_name: 'x', config: smallConfig(22_302) };
  assert.equal((await api.call('POST', '/tenants', { body })).status, 201);
  assert.equal((await api.call('PUT', '/tenants/acme/config', { body: {}, match: '*' })).status, 200);
  assert.ok(sent.blobs > 0);
  const rows = await api.db.client.blob.findMany({ orderBy: { sha256: 'asc' } });
  Object.assign(sent, { blobs: 0, steps: 0 });
  const back = await api.call('POST', '/tenants/acme/rollback', { body: { version: 1 } });
  assert.deepEqual([back.status, back.body.version, back.body.state], [200, 3, 'published'], back.text);
  assert.deepEqual(sent, { blobs: 0, steps: 1 });
  assert.deepEqual(await api.db.client.blob.findMany({ orderBy: { sha256: 'asc' } }), rows, 'not even touched');
  const [newest] = (await api.call('GET', '/tenants/acme/releases')).body.items;
  assert.equal(newest.bytes, 0);
  const manifest = (await store.getManifest('acme', 3))!;
  assert.deepEqual(await store.missingBlobs(manifest.sections.flatMap((section) => section.blobs)), []);
});
