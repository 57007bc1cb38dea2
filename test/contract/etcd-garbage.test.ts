/** Values that somebody else wrote into etcd, larger than anything of ours: nobody else's releases wait for them. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { openStore } from '@arcus/control/open.ts';
import { putRelease } from '@arcus/control/publish.ts';
import { cut } from '@arcus/control/sections.ts';
import { type HeadEvent, HeadInvalid, StoreCorrupt } from '@arcus/control/store.ts';
import { type EtcdServer, startEtcd } from '@arcus/testkit/etcd.ts';
import { testHead } from '@arcus/testkit/keys.ts';
import { until } from '@arcus/testkit/until.ts';

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

let etcd: EtcdServer;
before(async () => {
  etcd = await startEtcd({ args: ['--max-request-bytes=67108864'] });
});
after(() => etcd.close());

/** For one call: what is large takes its time on a busy machine. */
const deadline = 60_000;
const huge = Buffer.alloc(40 * 1024 * 1024, 'x');
const prefix = '/arcus/v1/';

test('a head too large for any message refuses its tenant, and no other hears later of its releases', async (t) => {
  const store = await openStore(etcd.url, { deadline });
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
  const listed = await until(() => events.find((e) => e.type === 'list' && e.invalid.has('acme')), {
    deadline: 120_000,
  });
  assert.ok(listed);
  await store.putHead('beta', testHead(1, { tenant: 'beta' }), null);
  await until(() => events.some((e) => e.type === 'put' && e.tenant === 'beta'));

  const wrong = await store.getHead('acme').catch((error) => error);
  assert.ok(wrong instanceof HeadInvalid);
  await store.putHead('acme', testHead(2), wrong.revision);
  await until(() => events.some((e) => e.type === 'put' && e.tenant === 'acme' && e.head.seq === 2));
});

test('heads as large as etcd takes them are refused one by one, and no more of them is in memory than of a page', async (t) => {
  const [store, own] = [
    await openStore(etcd.url, { prefix: '/large/', deadline }),
    await openStore(etcd.url, { prefix: '/large/', deadline }),
  ];
  t.after(async () => {
    await store.close();
    await own.close();
  });
  for (let i = 0; i < 400; i++) await store.putHead(`s-${i}`, testHead(1), null);
  const large = Buffer.alloc(1_400_000, 'x');
  for (let i = 0; i < 120; i++) await etcd.put(`/large/heads/s-${i}-large`, large);
  // Names that are nobody's.
  for (const name of ['no/tenant', 'Upper', '', 'x'.repeat(5000)]) await etcd.put(`/large/heads/${name}`, 'x');
  const stop = new AbortController();
  const before = process.memoryUsage().external;
  // What was let go of, and not collected yet, is not held.
  const held = () => process.memoryUsage().external - before;
  const MOST = 100 * 1024 * 1024;
  let most = 0;
  const look = () => {
    // Twice: what one collection frees, the next one counts.
    for (let i = 0; i < 2 && held() > MOST; i++) collect();
    most = Math.max(most, held());
  };
  const timer = setInterval(look, 5);
  const watching = own.watchHeads(stop.signal)[Symbol.asyncIterator]();
  const { value } = await watching.next();
  clearInterval(timer);
  stop.abort();
  assert.ok(value.type === 'list');
  assert.deepEqual([value.heads.size, value.invalid.size], [400, 120]);
  assert.equal(value.invalid.get('s-7-large'), 'head of s-7-large is too large: 1400000 bytes, at most 65536');
  assert.ok(most < MOST, `${most} bytes of 168,000,000 were held at once`);
});

test('blobs and manifests that were exchanged are no release, and publishing it again mends them', async (t) => {
  const store = await openStore(etcd.url, { deadline });
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
