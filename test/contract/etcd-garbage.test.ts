/** Values that somebody else wrote into etcd, larger than anything of ours: nobody else's releases wait for them. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openStore } from '@arcus/control/open.ts';
import { putRelease } from '@arcus/control/publish.ts';
import { cut } from '@arcus/control/sections.ts';
import { type HeadEvent, HeadInvalid, StoreCorrupt } from '@arcus/control/store.ts';
import { type EtcdServer, startEtcd } from '@arcus/testkit/etcd.ts';
import { testHead } from '@arcus/testkit/keys.ts';
import { until } from '@arcus/testkit/until.ts';

let etcd: EtcdServer;
before(async () => {
  etcd = await startEtcd({ args: ['--max-request-bytes=67108864'] });
});
after(() => etcd.close());

const huge = Buffer.alloc(40 * 1024 * 1024, 'x');
const prefix = '/arcus/v1/';

test('a head too large for any message refuses its tenant, and no other hears later of its releases', async (t) => {
  const store = await openStore(etcd.url);
  const stop = new AbortController();
  t.after(async () => {
    stop.abort();
    await store.close();
  });
  const events: HeadEvent[] = [];
  const follow = async () => {
    for await (const event of store.watchHeads(stop.signal)) events.push(event);
  };
  void follow();
  await until(() => events.length > 0);
  await etcd.put(`${prefix}heads/acme`, huge);
  const listed = await until(() => events.find((e) => e.type === 'list' && e.invalid.has('acme')));
  assert.ok(listed);
  await store.putHead('beta', testHead(1, { tenant: 'beta' }), null);
  await until(() => events.some((e) => e.type === 'put' && e.tenant === 'beta'));

  const wrong = await store.getHead('acme').catch((error) => error);
  assert.ok(wrong instanceof HeadInvalid);
  await store.putHead('acme', testHead(2), wrong.revision);
  await until(() => events.some((e) => e.type === 'put' && e.tenant === 'acme' && e.head.seq === 2));
});

test('blobs and manifests that were exchanged are no release, and publishing it again mends them', async (t) => {
  const store = await openStore(etcd.url);
  t.after(() => store.close());
  const made = await cut({ tenant: {}, config: { policies: [] } } as never);
  const { sections, checksum, blobs } = made;
  const said = { author: '', message: '', created_at: new Date(0).toISOString() };
  const manifest = { schema: 1 as const, tenant: 'acme', version: 7, sections, checksum, ...said };
  const [name] = blobs.keys();
  for (const garbage of [huge, '', 'null', '{"schema":2}']) {
    await etcd.put(`${prefix}manifests/acme/7`, garbage);
    await etcd.put(`${prefix}blobs/${name}`, garbage);
    await assert.rejects(store.getManifest('acme', 7), StoreCorrupt);
    await assert.rejects(store.getBlobs([name!]), StoreCorrupt);
    await store.putBlob(name!, blobs.get(name!)!);
    await putRelease(store, manifest, blobs);
    assert.deepEqual(await store.getManifest('acme', 7), manifest);
    assert.equal((await store.getBlobs([name!])).size, 1);
  }
});
