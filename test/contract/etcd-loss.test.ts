/** What etcd and the network between do to us: nothing is lost, nothing comes twice, and a silent peer is noticed. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { openStore, type StoreOptions } from '@arcus/control/open.ts';
import { SCHEMA, type TenantStatus, type WorkerRecord } from '@arcus/control/release.ts';
import { type ConfigStore, StoreRefused, StoreUnavailable } from '@arcus/control/store.ts';
import { createCa } from '@arcus/testkit/ca.ts';
import { type EtcdOptions, type EtcdServer, startEtcd } from '@arcus/testkit/etcd.ts';
import { testHead } from '@arcus/testkit/keys.ts';
import { TcpProxy } from '@arcus/testkit/tcp-proxy.ts';
import { until } from '@arcus/testkit/until.ts';
import { type Cleanup, upTo, Writer, watch } from './lib/writer.ts';

async function etcdFor(t: Cleanup, options?: EtcdOptions): Promise<EtcdServer> {
  const etcd = await startEtcd(options);
  t.after(() => etcd.close());
  return etcd;
}

/** Its calls may take long, on a machine that stands still for seconds, unless a test is about how long they take. */
async function storeFor(t: Cleanup, url: string, options?: StoreOptions): Promise<ConfigStore> {
  const store = await openStore(url, { deadline: 30_000, ...options });
  t.after(() => store.close());
  return store;
}

async function proxyFor(t: Cleanup, etcd: EtcdServer): Promise<TcpProxy> {
  const proxy = await TcpProxy.start(etcd);
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

/** A refusal with so many reasons of usual length. */
function refusal(issues: number): TenantStatus {
  const message = '"site.example" is no host name: it holds characters that no host name may hold. Write it otherwise.';
  const pointer = '/config/policies/0/rules/7/child_match';
  return { applied: 1, refused: { version: 2, issues: Array(issues).fill({ pointer, code: 'bad_host', message }) } };
}

describe('etcd', { concurrency: 2 }, () => {
  test('killed and restarted under a writer, six times: 0 lost, 0 twice, in order', async (t) => {
    const etcd = await etcdFor(t);
    const writer = new Writer(await storeFor(t, etcd.url));
    const watching = watch(t, await storeFor(t, etcd.url));
    await until(() => watching.lists() === 1);
    for (let i = 0; i < 6; i++) {
      const writing = writer.write(60);
      await until(() => writer.version > i * 60 + 20 + i);
      await etcd.process.restart('SIGKILL');
      await writing;
    }
    await watching.reaches(360);
    for (const versions of watching.seen.values()) assert.deepEqual(versions, upTo(360));
    assert.equal(watching.lists(), 1);
  });

  test('connection cut again and again while it reconnects: 0 lost, 0 twice, in order', async (t) => {
    const etcd = await etcdFor(t);
    const proxy = await proxyFor(t, etcd);
    const writer = new Writer(await storeFor(t, etcd.url));
    const watching = watch(t, await storeFor(t, `etcd://127.0.0.1:${proxy.port}`));
    await until(() => watching.lists() === 1);
    let stop = false;
    const writing = (async () => {
      while (!stop) await writer.write(1);
    })();
    const newest = () => watching.seen.get('a')!.length;
    for (let round = 0; round < 15; round++) {
      // Connections that die during their greeting, then some that die while they say what was missed.
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

  test('compacted while the watcher was cut off: a new list with the newest, then on in order', async (t) => {
    const etcd = await etcdFor(t);
    const proxy = await proxyFor(t, etcd);
    const writer = new Writer(await storeFor(t, etcd.url));
    const watching = watch(t, await storeFor(t, `etcd://127.0.0.1:${proxy.port}`));
    await writer.write(10);
    await watching.reaches(10);
    await proxy.refuse();
    await writer.write(20);
    await etcd.compact();
    await proxy.pass();
    await watching.reaches(30);
    await writer.write(10);
    await watching.reaches(40);
    assert.equal(watching.lists(), 2);
    for (const versions of watching.seen.values()) assert.deepEqual(versions.slice(-11), upTo(40, 30));
  });

  test('compacted just behind what the watcher had seen: nothing is said twice', async (t) => {
    const etcd = await etcdFor(t);
    const proxy = await proxyFor(t, etcd);
    const writer = new Writer(await storeFor(t, etcd.url));
    const watching = watch(t, await storeFor(t, `etcd://127.0.0.1:${proxy.port}`));
    await until(() => watching.lists() === 1);
    await writer.write(10);
    await watching.reaches(10);
    await proxy.refuse();
    await etcd.compact();
    await writer.write(10);
    await proxy.pass();
    await watching.reaches(20);
    for (const versions of watching.seen.values()) assert.deepEqual(versions, upTo(20));
    assert.equal(watching.lists(), 1);
  });

  test('wiped and filled again up to a higher revision: the watcher lists anew', async (t) => {
    const etcd = await etcdFor(t);
    const proxy = await proxyFor(t, etcd);
    const store = await storeFor(t, etcd.url);
    const watching = watch(t, await storeFor(t, `etcd://127.0.0.1:${proxy.port}`));
    await new Writer(store).write(5);
    await watching.reaches(5);
    await proxy.refuse();
    await etcd.wipe();
    const writer = new Writer(store);
    await writer.write(3);
    while ((await etcd.revision()) < 60) await etcd.put('/other', 'x');
    await proxy.pass();
    await watching.reaches(3);
    assert.equal(watching.lists(), 2);
    await writer.write(4);
    await watching.reaches(7);
  });

  test('restored from an older backup: the watcher lists anew', async (t) => {
    const etcd = await etcdFor(t);
    const store = await storeFor(t, etcd.url);
    const watching = watch(t, await storeFor(t, etcd.url));
    await until(() => watching.lists() === 1);
    const writer = new Writer(store);
    await writer.write(5);
    const restore = await etcd.backup();
    await writer.write(5);
    await watching.reaches(10);
    await restore();
    await watching.reaches(5);
    assert.equal(watching.lists(), 2);
  });

  test('10,000 heads and a change of all of them reach the watcher', async (t) => {
    const etcd = await etcdFor(t);
    const store = await storeFor(t, etcd.url);
    const names = upTo(10_000).map((number) => `t-${number}`);
    const revisions = new Map<string, string>();
    for (const version of [1, 2]) {
      const stop = new AbortController();
      const events = new Map<string, number>();
      let listed = -1;
      const done = (async () => {
        for await (const event of store.watchHeads(stop.signal)) {
          if (event.type === 'list') listed = event.heads.size;
          else if (event.type === 'put') events.set(event.tenant, event.head.stable.version);
        }
      })();
      await until(() => listed >= 0, { deadline: 120_000 });
      assert.equal(listed, version === 1 ? 0 : 10_000);
      for (let i = 0; i < names.length; i += 200) {
        await Promise.all(
          names.slice(i, i + 200).map(async (name) => {
            revisions.set(name, await store.putHead(name, testHead(version), revisions.get(name) ?? null));
          }),
        );
      }
      await until(() => events.size === 10_000 && [...events.values()].every((seen) => seen === version), {
        deadline: 120_000,
      });
      stop.abort();
      await done;
    }
  });

  test('frozen: calls fail in time, the watch comes back by itself', async (t) => {
    const etcd = await etcdFor(t);
    const proxy = await proxyFor(t, etcd);
    const writer = new Writer(await storeFor(t, etcd.url));
    const watched = await storeFor(t, `etcd://127.0.0.1:${proxy.port}`, { deadline: 1000 });
    const watching = watch(t, watched);
    await until(() => watching.lists() === 1);
    await writer.write(1);
    await watching.reaches(1);
    const before = proxy.accepted;
    await etcd.process.stop();
    await assert.rejects(watched.ping(), StoreUnavailable);
    // The call above made one new connection for calls; the watch makes the others when it finds its own dead.
    await until(() => proxy.accepted >= before + 3, { deadline: 60_000, what: 'the watch notices' });
    etcd.process.cont();
    await writer.write(1);
    await watching.reaches(2);
    for (const versions of watching.seen.values()) assert.deepEqual(versions, [1, 2]);
  });

  test('a network that swallows everything is noticed by the watch', async (t) => {
    const etcd = await etcdFor(t);
    const proxy = await proxyFor(t, etcd);
    const writer = new Writer(await storeFor(t, etcd.url));
    const watching = watch(t, await storeFor(t, `etcd://127.0.0.1:${proxy.port}`, { deadline: 3000 }));
    await until(() => watching.lists() === 1);
    const before = proxy.accepted;
    proxy.blackHole();
    await writer.write(3);
    await until(() => proxy.accepted > before, { deadline: 60_000, what: 'the watch notices' });
    await proxy.pass();
    await watching.reaches(3);
    for (const versions of watching.seen.values()) assert.deepEqual(versions, [1, 2, 3]);
  });

  test('three members, one after the other frozen or killed: writer and watcher go on', async (t) => {
    const etcd = await etcdFor(t, { members: 3 });
    const writer = new Writer(await storeFor(t, etcd.url, { deadline: 3000 }));
    const watching = watch(t, await storeFor(t, etcd.url, { deadline: 3000 }));
    await until(() => watching.lists() === 1);
    for (const [index, member] of etcd.members.entries()) {
      if (index === 1) await member.kill();
      else await member.stop();
      await writer.write(5);
      await watching.reaches((index + 1) * 5);
      if (index === 1) await member.start();
      else member.cont();
    }
    for (const versions of watching.seen.values()) assert.deepEqual(versions, upTo(15));
    assert.equal(watching.lists(), 1);
  });

  test('a worker is there again after etcd was killed, frozen past its lease, or wiped', async (t) => {
    const etcd = await etcdFor(t);
    const store = await storeFor(t, etcd.url);
    const lease = await store.leaseWorker(record, 2);
    const statuses = new Map(upTo(150).map((number) => [`t-${number}`, { applied: number }]));
    await lease.report(statuses);
    const complete = async () => {
      const [workers, first, last] = [
        await store.listWorkers(),
        await store.listStatus('t-1'),
        await store.listStatus('t-150'),
      ];
      return workers.length === 1 && first.get('w')?.applied === 1 && last.get('w')?.applied === 150;
    };
    await until(complete);
    await etcd.process.restart();
    await until(complete);
    await etcd.wipe();
    await until(complete);
    await etcd.process.kill();
    await assert.rejects(lease.report(new Map([['t-1', { applied: 7 }]])), StoreUnavailable);
    await assert.rejects(lease.report(new Map([['t-2', null]])), StoreUnavailable);
    await etcd.process.start();
    await until(async () => (await store.listStatus('t-1')).get('w')?.applied === 7);
    await until(async () => (await store.listStatus('t-2')).size === 0);
    await lease.close();
    await until(async () => (await etcd.list('/arcus/v1/')).length === 0);
  });

  test('a hundred tenants that refuse at length are said, and so is the next one', async (t) => {
    const etcd = await etcdFor(t);
    const store = await storeFor(t, etcd.url);
    const lease = await store.leaseWorker(record, 600);
    await lease.report(new Map(upTo(100).map((number) => [`t-${number}`, refusal(100)])));
    for (const tenant of ['t-1', 't-100']) assert.deepEqual((await store.listStatus(tenant)).get('w'), refusal(100));
    const { refused } = refusal(1);
    const endless = { pointer: '', code: 'store_corrupt', message: 'x'.repeat(1_600_000) };
    await lease.report(new Map([['t-1', { applied: 1, refused: { ...refused!, issues: [endless] } }]]));
    assert.equal((await store.listStatus('t-1')).get('w')?.refused?.issues[0]?.code, 'store_corrupt');
    await lease.report(new Map([['good', { applied: 2 }]]));
    assert.equal((await store.listStatus('good')).get('w')?.applied, 2);
  });

  test('a status that etcd does not take holds back no other, is told once and tried again when it changes', async (t) => {
    const etcd = await etcdFor(t, { args: ['--max-request-bytes=9000', '--max-txn-ops=40'] });
    const store = await storeFor(t, etcd.url);
    const told: string[] = [];
    // Long enough that it does not run out between two lines, and its heartbeat, a third of it, soon finds a loss.
    const lease = await store.leaseWorker(record, 12, (tenant, reason) => void told.push(`${tenant}: ${reason}`));
    const statuses = new Map<string, TenantStatus>(upTo(150).map((number) => [`t-${number}`, { applied: number }]));
    statuses.set('t-50', refusal(100)).set('t-70', refusal(100));
    await lease.report(statuses);
    for (const number of [1, 49, 51, 69, 71, 150]) {
      assert.equal((await store.listStatus(`t-${number}`)).get('w')?.applied, number);
    }
    assert.equal((await store.listStatus('t-50')).size, 0);
    await lease.report(statuses);
    // All is said again to the store that lost it.
    await etcd.wipe();
    await until(async () => (await store.listStatus('t-150')).get('w')?.applied === 150);
    const reason = 'etcd: etcdserver: request is too large';
    assert.deepEqual(told.sort(), [`t-50: ${reason}`, `t-70: ${reason}`]);
    await lease.report(new Map([['t-50', refusal(2)]]));
    assert.deepEqual((await store.listStatus('t-50')).get('w'), refusal(2));
  });

  test('a lease taken while etcd was away shows as soon as it is back', async (t) => {
    const etcd = await etcdFor(t);
    const store = await storeFor(t, etcd.url, { deadline: 1000 });
    await etcd.process.kill();
    const lease = await store.leaseWorker({ ...record, id: 'early' }, 3);
    await etcd.process.start();
    await until(async () => (await store.listWorkers())[0]?.id === 'early');
    await lease.close();
  });
});

describe('etcd with TLS and a password', { concurrency: 2 }, () => {
  const auth = { user: 'arcus', password: 'pa:ss/word', prefix: '/arcus/' };
  const login = { user: auth.user, password: auth.password };

  test('serves who has the right certificate and password, and tells the others why not', async (t) => {
    const etcd = await etcdFor(t, { tls: { clientCert: true }, auth });
    const { ca, client } = etcd.tls!;
    const files = { caFile: ca.certFile, certFile: client.certFile, keyFile: client.keyFile };
    const store = await storeFor(t, etcd.url, { ...files, ...login });
    const watching = watch(t, store);
    await new Writer(store).write(3);
    await watching.reaches(3);

    const wrong = await storeFor(t, etcd.url, { ...files, user: auth.user, password: 'wrong' });
    await assert.rejects(
      wrong.ping(),
      (error) => error instanceof StoreRefused && /invalid user ID or password/.test(error.message),
    );
    const elsewhere = await storeFor(t, etcd.url, { ...files, ...login, prefix: '/other/' });
    await assert.rejects(
      elsewhere.ping(),
      (error) => error instanceof StoreRefused && /permission/.test(error.message),
    );
    const stranger = await createCa('stranger');
    t.after(() => stranger.close());
    const untrusting = await storeFor(t, etcd.url, { ...files, ...login, caFile: stranger.certFile });
    await assert.rejects(untrusting.ping(), /certificate/);
    const nobody = await storeFor(t, etcd.url, { caFile: ca.certFile, ...login });
    await assert.rejects(nobody.ping(), StoreUnavailable);
    const plain = await storeFor(t, etcd.url.replace('etcds:', 'etcd:'), { deadline: 1000 });
    await assert.rejects(plain.ping(), StoreUnavailable);
  });

  test('logs in anew when its token is no longer good: calls, watch and lease', async (t) => {
    const etcd = await etcdFor(t, { auth: { ...auth, tokenTtl: 1 } });
    const proxy = await proxyFor(t, etcd);
    const writer = new Writer(await storeFor(t, etcd.url, login));
    const store = await storeFor(t, `etcd://127.0.0.1:${proxy.port}`, login);
    const watching = watch(t, store);
    await until(() => watching.lists() === 1);
    await writer.write(2);
    await watching.reaches(2);
    // etcd forgets a token that was not used for a second; nothing but time does that.
    await wait(2500);
    await writer.write(2);
    await watching.reaches(4);
    await wait(2500);
    proxy.cut();
    await writer.write(2);
    await watching.reaches(6);
    // A restart forgets all tokens.
    await etcd.process.restart();
    await writer.write(2);
    await watching.reaches(8);
    for (const versions of watching.seen.values()) assert.deepEqual(versions, upTo(8));
    assert.equal(watching.lists(), 1);
  });

  test('goes on when authentication is switched off and on', async (t) => {
    const etcd = await etcdFor(t, { auth });
    const store = await storeFor(t, etcd.url, login);
    const writer = new Writer(store);
    const watching = watch(t, store);
    await writer.write(1);
    await watching.reaches(1);
    await etcd.call('auth/disable', {});
    await writer.write(1);
    // Connected only now: there is nothing to log in to.
    const late = await storeFor(t, etcd.url, login);
    await late.ping();
    await etcd.enableAuth();
    await late.ping();
    await writer.write(1);
    await watching.reaches(3);
  });
});
