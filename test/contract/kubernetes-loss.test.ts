/**
 * What a Kubernetes API server and the network between do to us: nothing is lost, nothing comes twice, and a silent peer
 * is noticed. The server is the testkit's, which plays the paths that are used.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { openStore, type StoreOptions } from '@arcus/control/open.ts';
import { SCHEMA, type TenantStatus, type WorkerRecord } from '@arcus/control/release.ts';
import { type ConfigStore, HeadConflict, StoreRefused, StoreUnavailable } from '@arcus/control/store.ts';
import { headName, labelsOf, SHARDS, workerName } from '@arcus/control/stores/kubernetes-names.ts';
import { testHead } from '@arcus/testkit/keys.ts';
import { type KubeOptions, type KubeServer, startKube } from '@arcus/testkit/kube.ts';
import { TcpProxy } from '@arcus/testkit/tcp-proxy.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until } from '@arcus/testkit/until.ts';
import { type Cleanup, upTo, Writer, watch } from './lib/writer.ts';

async function kubeFor(t: Cleanup, options?: KubeOptions): Promise<KubeServer> {
  const kube = await startKube(options);
  t.after(() => kube.close());
  return kube;
}

/** Its calls may take long, on a machine that stands still for seconds, unless a test is about how long they take. */
async function storeFor(t: Cleanup, { port }: { port: number }, options?: StoreOptions): Promise<ConfigStore> {
  const kubeUrl = `http://127.0.0.1:${port}`;
  const store = await openStore('kubernetes://arcus', { kubeUrl, deadline: 30_000, ...options });
  t.after(() => store.close());
  return store;
}

async function proxyFor(t: Cleanup, kube: KubeServer): Promise<TcpProxy> {
  const proxy = await TcpProxy.start(kube);
  t.after(() => proxy.close());
  return proxy;
}

const record: WorkerRecord = {
  schema: SCHEMA,
  id: 'w',
  labels: {},
  host: 'h',
  pid: 1,
  software: '0',
  started_at: '2026-01-01T00:00:00Z',
  reported_at: '2026-01-01T00:00:00Z',
  admin: '127.0.0.1:1',
  tenants: 0,
  refused: 0,
};

describe('a watch of Kubernetes', { concurrency: 4 }, () => {
  test('connection cut again and again while it reconnects: 0 lost, 0 twice, in order', async (t) => {
    const kube = await kubeFor(t);
    const proxy = await proxyFor(t, kube);
    const writer = new Writer(await storeFor(t, kube));
    const watching = watch(t, await storeFor(t, proxy));
    await until(() => watching.lists() === 1);
    let stop = false;
    const writing = (async () => {
      while (!stop) await writer.write(1);
    })();
    const newest = () => watching.seen.get('a')!.length;
    for (let round = 0; round < 15; round++) {
      // Connections that die during the head of an answer, then some that die in the middle of an event.
      proxy.cutAfter([10, 100, 400, 1500, 8000][round % 5]!);
      proxy.cut();
      const before = proxy.accepted;
      await until(() => proxy.accepted >= before + 2, { deadline: 60_000, what: 'it came again twice' });
      const had = newest();
      proxy.cutAfter(null);
      proxy.cut();
      await until(() => newest() > had, { deadline: 60_000, what: 'the watch goes on' });
      if (round % 5 === 0) {
        await proxy.refuse();
        await proxy.pass();
      }
    }
    stop = true;
    await writing;
    await watching.reaches(writer.version);
    for (const versions of watching.seen.values()) assert.deepEqual(versions, upTo(writer.version));
    assert.equal(watching.lists(), 1);
  });

  test('the server restarts, and ends watches in order, under a writer: 0 lost, 0 twice, in order', async (t) => {
    const kube = await kubeFor(t);
    const writer = new Writer(await storeFor(t, kube));
    const watching = watch(t, await storeFor(t, kube));
    await until(() => watching.lists() === 1);
    for (let i = 0; i < 6; i++) {
      const writing = writer.write(40);
      await until(() => writer.version > i * 40 + 10);
      if (i % 2 === 0) kube.endWatches();
      else {
        await kube.stop();
        await kube.start();
      }
      await writing;
    }
    await watching.reaches(240);
    for (const versions of watching.seen.values()) assert.deepEqual(versions, upTo(240));
    assert.equal(watching.lists(), 1);
  });

  for (const goneAs of ['event', 'status'] as const) {
    test(`410 Gone as ${goneAs}: a new list with the newest, then on in order`, async (t) => {
      const kube = await kubeFor(t, { goneAs });
      const proxy = await proxyFor(t, kube);
      const writer = new Writer(await storeFor(t, kube));
      const watching = watch(t, await storeFor(t, proxy));
      await writer.write(10);
      await watching.reaches(10);
      await proxy.refuse();
      await writer.write(20);
      kube.storage.compact();
      await proxy.pass();
      await watching.reaches(30);
      await writer.write(10);
      await watching.reaches(40);
      assert.equal(watching.lists(), 2);
      for (const versions of watching.seen.values()) assert.deepEqual(versions.slice(-11), upTo(40, 30));
    });
  }

  test('gone between the question whether the past is the same and the watch: a new list', async (t) => {
    for (const goneAs of ['event', 'status'] as const) {
      let compactNow = false;
      const kube = await kubeFor(t, {
        goneAs,
        bookmarks: 60_000,
        allow({ verb }) {
          // Asked for what it had seen, it was still there.
          if (verb === 'watch' && compactNow) {
            kube.storage.create('configmaps', 'arcus', {
              apiVersion: 'v1',
              kind: 'ConfigMap',
              metadata: { name: 'x' } as any,
            });
            kube.storage.compact();
            compactNow = false;
          }
          return true;
        },
      });
      const watching = watch(t, await storeFor(t, kube));
      const writer = new Writer(await storeFor(t, kube));
      await writer.write(2);
      await watching.reaches(2);
      compactNow = true;
      kube.endWatches();
      await until(() => watching.lists() === 2);
      await writer.write(2);
      await watching.reaches(4);
    }
  });

  test('bookmarks carry it over changes that are not its own: no new list after a compaction', async (t) => {
    const kube = await kubeFor(t, { bookmarks: 20 });
    const proxy = await proxyFor(t, kube);
    const writer = new Writer(await storeFor(t, kube));
    const watching = watch(t, await storeFor(t, proxy));
    await until(() => watching.lists() === 1);
    await writer.write(3);
    await watching.reaches(3);
    for (let i = 0; i < 50; i++) {
      const metadata = { name: `other-${i}` } as any;
      kube.storage.create('configmaps', 'arcus', { apiVersion: 'v1', kind: 'ConfigMap', metadata });
    }
    const down = proxy.bytesDown;
    await until(() => proxy.bytesDown > down + 1500, { what: 'some bookmarks' });
    await proxy.refuse();
    kube.storage.compact();
    await writer.write(3);
    await proxy.pass();
    await watching.reaches(6);
    for (const versions of watching.seen.values()) assert.deepEqual(versions, upTo(6));
    assert.equal(watching.lists(), 1);
  });

  test('a list that is compacted between two pages begins anew, and is whole', async (t) => {
    let pages = 0;
    const kube = await kubeFor(t, {
      allow({ verb }) {
        if (verb === 'list' && ++pages === 2) {
          kube.storage.remove('configmaps', 'arcus', headName('t-1'));
          kube.storage.compact();
        }
        return true;
      },
    });
    const store = await storeFor(t, kube);
    for (const number of upTo(1200)) await store.putHead(`t-${number}`, testHead(1), null);
    pages = 0;
    const stop = new AbortController();
    const events = store.watchHeads(stop.signal)[Symbol.asyncIterator]();
    const { value } = await events.next();
    assert.ok(value.type === 'list');
    assert.equal(value.heads.size, 1199);
    assert.ok(!value.heads.has('t-1'));
    stop.abort();
  });

  const largeHead = (kube: KubeServer, tenant: string, bytes: number) =>
    kube.storage.create('configmaps', 'arcus', {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: headName(tenant), labels: labelsOf('head') } as any,
      data: { head: 'x'.repeat(bytes) },
    });

  test('a page that does not come in time is asked for in smaller ones: the list is whole', async (t) => {
    const kube = await kubeFor(t, { most: 300_000 });
    const store = await storeFor(t, kube);
    for (const number of upTo(600)) await store.putHead(`t-${number}`, testHead(1), null);
    for (const number of upTo(4)) largeHead(kube, `t-${number * 100}-large`, 200_000);
    const stop = new AbortController();
    const hasty = await storeFor(t, kube, { deadline: 1000 });
    const events = hasty.watchHeads(stop.signal)[Symbol.asyncIterator]();
    const { value } = await events.next();
    stop.abort();
    assert.ok(value.type === 'list');
    assert.deepEqual([value.heads.size, value.invalid.size], [600, 4]);
  });

  test('heads as large as Kubernetes takes them are refused one by one, and never all in memory', async (t) => {
    const kube = await kubeFor(t);
    const store = await storeFor(t, kube);
    for (const number of upTo(30)) await store.putHead(`t-${number}`, testHead(1), null);
    for (const number of upTo(30)) largeHead(kube, `t-${number}-large`, 1_000_000);
    const stop = new AbortController();
    const events = store.watchHeads(stop.signal)[Symbol.asyncIterator]();
    const { value } = await events.next();
    stop.abort();
    assert.ok(value.type === 'list');
    assert.deepEqual([value.heads.size, value.invalid.size], [30, 30]);
    assert.equal(value.invalid.get('t-7-large'), 'head of t-7-large is too large: 1000000 bytes, at most 65536');
    assert.ok(kube.calls.filter(({ verb }) => verb === 'list').length > 5);
  });

  test('made anew and counted on to a higher version: the watcher lists anew', async (t) => {
    const kube = await kubeFor(t);
    const proxy = await proxyFor(t, kube);
    const store = await storeFor(t, kube);
    const watching = watch(t, await storeFor(t, proxy));
    await new Writer(store).write(5);
    await watching.reaches(5);
    await proxy.refuse();
    kube.storage.renew(100);
    const writer = new Writer(store);
    await writer.write(8);
    await proxy.pass();
    await watching.reaches(8);
    assert.equal(watching.lists(), 2);
    await writer.write(2);
    await watching.reaches(10);
  });

  test('restored from an older backup: the watcher lists anew', async (t) => {
    const kube = await kubeFor(t);
    const store = await storeFor(t, kube);
    const watching = watch(t, await storeFor(t, kube));
    await until(() => watching.lists() === 1);
    const writer = new Writer(store);
    await writer.write(5);
    const restore = kube.storage.backup();
    await writer.write(5);
    await watching.reaches(10);
    await kube.stop();
    restore();
    await kube.start();
    await watching.reaches(5);
    assert.equal(watching.lists(), 2);
  });

  test('frozen: calls fail in time, the watch comes back by itself', async (t) => {
    const kube = await kubeFor(t);
    const proxy = await proxyFor(t, kube);
    const writer = new Writer(await storeFor(t, kube));
    const watched = await storeFor(t, proxy, { deadline: 1000 });
    const watching = watch(t, watched);
    await until(() => watching.lists() === 1);
    await writer.write(1);
    await watching.reaches(1);
    const watches = kube.watches;
    kube.freeze();
    await assert.rejects(watched.ping(), StoreUnavailable);
    await until(() => kube.watches < watches, { deadline: 60_000, what: 'the watch notices' });
    kube.thaw();
    await writer.write(1);
    await watching.reaches(2);
    for (const versions of watching.seen.values()) assert.deepEqual(versions, [1, 2]);
  });

  test('a network that swallows everything is noticed by the watch', async (t) => {
    const kube = await kubeFor(t);
    const proxy = await proxyFor(t, kube);
    const writer = new Writer(await storeFor(t, kube));
    const watching = watch(t, await storeFor(t, proxy, { deadline: 3000 }));
    await until(() => watching.lists() === 1);
    const before = proxy.accepted;
    proxy.blackHole();
    await writer.write(3);
    await until(() => proxy.accepted > before + 1, { deadline: 60_000, what: 'the watch notices' });
    await proxy.pass();
    await watching.reaches(3);
    for (const versions of watching.seen.values()) assert.deepEqual(versions, [1, 2, 3]);
  });
});

describe('calls to Kubernetes', { concurrency: 4 }, () => {
  test('a write whose answer got lost counts once, and is nobody else’s', async (t) => {
    const kube = await kubeFor(t);
    const store = await storeFor(t, kube);
    const watching = watch(t, await storeFor(t, kube));
    await until(() => watching.lists() === 1);
    kube.fail(1, 'cut', 'create');
    const first = await store.putHead('a', testHead(1), null);
    kube.fail(1, 'cut', 'update');
    const second = await store.putHead('a', testHead(2), first);
    assert.equal((await store.getHead('a'))?.revision, second);
    await assert.rejects(store.putHead('a', testHead(3), first), HeadConflict);
    kube.fail(1, 'cut', 'delete');
    await store.deleteHead('a', second);
    assert.equal(await store.getHead('a'), null);
    await until(() => watching.seen.get('a')!.length === 2);
    assert.deepEqual(watching.seen.get('a'), [1, 2]);
  });

  test('a busy server is asked again when it says; one that stays busy is away', async (t) => {
    const kube = await kubeFor(t);
    const store = await storeFor(t, kube);
    kube.fail(1, { status: 429, retryAfter: 1 });
    await store.putHead('a', testHead(1), null);
    kube.fail(2, { status: 503 });
    assert.equal((await store.getHead('a'))?.head.stable.version, 1);
    kube.fail(1, { status: 429, retryAfter: 600 });
    await assert.rejects(store.getHead('a'), StoreUnavailable);
    kube.fail(3, { status: 500 });
    await assert.rejects(store.getHead('a'), StoreUnavailable);
  });

  test('a token that was rotated is read again; without a good one, or the right, it says so', async (t) => {
    const dir = tempDir('kube');
    t.after(() => dir.close());
    const kubeTokenFile = `${dir.path}/token`;
    writeFileSync(kubeTokenFile, 'first\n');
    const tokens = new Map([['first', 'me']]);
    const kube = await kubeFor(t, { tokens, allow: ({ verb }) => verb !== 'delete' });
    const secure = { kubeUrl: kube.url, caFile: kube.ca!.certFile };
    const store = await storeFor(t, kube, { ...secure, kubeTokenFile });
    const watching = watch(t, store);
    await new Writer(store).write(1);
    await watching.reaches(1);
    tokens.clear();
    tokens.set('second', 'me');
    await assert.rejects(store.ping(), StoreRefused);
    writeFileSync(kubeTokenFile, 'second\n');
    kube.endWatches();
    const revision = await store.putHead('a', testHead(2), (await store.getHead('a'))!.revision);
    await until(() => watching.seen.get('a')!.at(-1) === 2);
    assert.equal(watching.lists(), 1);

    await assert.rejects(
      store.deleteHead('a', revision),
      (error) => error instanceof StoreRefused && /delete/.test(error.message),
    );
    const nobody = await storeFor(t, kube, secure);
    await assert.rejects(nobody.ping(), StoreRefused);
    const { caFile: _, ...untrusting } = secure;
    const stranger = await storeFor(t, kube, { ...untrusting, kubeTokenFile });
    await assert.rejects(stranger.ping(), /certificate/);
    const lost = await storeFor(t, kube, { ...secure, kubeTokenFile: `${dir.path}/none` });
    await assert.rejects(lost.ping(), (error) => error instanceof StoreUnavailable && /none/.test(error.message));
  });

  test('a namespace that is not there is no conflict', async (t) => {
    const kube = await kubeFor(t);
    const store = await storeFor(t, kube);
    kube.fail(9, { status: 404 }, 'create');
    await assert.rejects(store.putHead('a', testHead(1), null), StoreUnavailable);
    const lease = await store.leaseWorker(record, 30);
    await assert.rejects(lease.update(record), StoreUnavailable);
  });
});

describe('workers in Kubernetes', { concurrency: 4 }, () => {
  const everything = new Map(upTo(150).map((number) => [`t-${number}`, { applied: number }]));

  test('a worker is there again after the server was away, restored, or lost everything', async (t) => {
    const kube = await kubeFor(t);
    const store = await storeFor(t, kube);
    const backup = kube.storage.backup();
    const lease = await store.leaseWorker(record, 2);
    await lease.report(everything);
    const complete = async () => {
      const workers = await store.listWorkers();
      const [first, last] = [await store.listStatus('t-1'), await store.listStatus('t-150')];
      return workers.length === 1 && first.get('w')?.applied === 1 && last.get('w')?.applied === 150;
    };
    await until(complete);
    const older = kube.storage.backup();
    await lease.report(new Map([...everything.keys()].map((tenant) => [tenant, { applied: 1 }])));
    await lease.report(everything);
    older();
    await until(complete);
    backup();
    assert.deepEqual(kube.storage.list('leases', 'arcus'), []);
    await until(complete);
    kube.storage.renew(5000);
    await until(complete);
    await kube.stop();
    await assert.rejects(lease.report(new Map([['t-1', { applied: 7 }]])), StoreUnavailable);
    await assert.rejects(lease.report(new Map([['t-2', null]])), StoreUnavailable);
    await kube.start();
    await until(async () => (await store.listStatus('t-1')).get('w')?.applied === 7);
    await until(async () => (await store.listStatus('t-2')).size === 0);
    await lease.close();
    assert.deepEqual(kube.storage.list('leases', 'arcus'), []);
  });

  test('a lease taken while the server was away shows as soon as it is back', async (t) => {
    const kube = await kubeFor(t);
    const store = await storeFor(t, kube);
    await kube.stop();
    const lease = await store.leaseWorker({ ...record, id: 'early' }, 3);
    await kube.start();
    await until(async () => (await store.listWorkers())[0]?.id === 'early');
    await lease.close();
  });

  test('clocks that disagree make nobody look dead: the server’s counts', async (t) => {
    for (const clock of [3_600_000, -3_600_000]) {
      const kube = await kubeFor(t);
      kube.clock = clock;
      const [worker, api] = [await storeFor(t, kube), await storeFor(t, kube)];
      const lease = await worker.leaseWorker(record, 600);
      assert.equal((await api.listWorkers()).length, 1);
      const renewed = Date.parse(kube.storage.get('leases', 'arcus', workerName('w'))!.spec.renewTime);
      assert.ok(Math.abs(renewed - Date.now() - clock) < 60_000);
      // Set while they run: right again with the next heartbeat.
      kube.clock = 0;
      await lease.update(record);
      await lease.update(record);
      assert.equal((await api.listWorkers()).length, 1);
      await lease.close();
    }
  });

  test('what 10,000 tenants run is a bounded number of objects, and fits when all refuse at length', async (t) => {
    const kube = await kubeFor(t);
    const store = await storeFor(t, kube);
    // No heartbeat meanwhile: it would count among the calls.
    const lease = await store.leaseWorker(record, 36_000);
    const all = upTo(10_000).map((number) => `t-${number}`);
    await lease.report(new Map(all.map((tenant) => [tenant, { applied: 1 }])));
    assert.equal(kube.storage.list('leases', 'arcus').length, SHARDS + 1);
    const issue = { pointer: '/servers/0', message: 'm'.repeat(1000), code: 'listen' };
    const refused: TenantStatus = { applied: 1, refused: { version: 2, issues: [issue, issue] } };
    await lease.report(new Map(all.map((tenant) => [tenant, refused])));
    const said = (await store.listStatus('t-77')).get('w');
    assert.equal(said?.applied, 1);
    assert.equal(said?.refused?.version, 2);
    assert.equal(said?.refused?.issues[0]?.pointer, '/servers/0');
    await lease.report(new Map(all.slice(0, 9_990).map((tenant) => [tenant, { applied: 2 }])));
    assert.deepEqual((await store.listStatus('t-10000')).get('w'), refused);
    const calls = kube.calls.length;
    await lease.report(new Map([['t-1', { applied: 3 }]]));
    assert.equal(kube.calls.length, calls + 1);
    await lease.close();
  });

  test('leftovers of a worker that died are removed after an hour', async (t) => {
    const kube = await kubeFor(t);
    const api = await storeFor(t, kube);
    const worker = await openStore('kubernetes://arcus', { kubeUrl: kube.url, deadline: 30_000 });
    const lease = await worker.leaseWorker(record, 300);
    await lease.report(everything);
    await kube.stop();
    // Killed: it takes nothing back.
    await worker.close();
    await kube.start();
    kube.clock = 600_000;
    assert.deepEqual(await api.listWorkers(), []);
    assert.ok(kube.storage.list('leases', 'arcus').length > 1);
    kube.clock = 3_700_000;
    assert.deepEqual(await api.listWorkers(), []);
    assert.deepEqual(kube.storage.list('leases', 'arcus'), []);
  });
});
