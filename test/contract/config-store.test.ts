/** What every kind of config store promises. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { sha256 } from '@arcus/control/canonical.ts';
import { openStore } from '@arcus/control/open.ts';
import { type Head, type Manifest, SCHEMA, type TenantStatus, type WorkerRecord } from '@arcus/control/release.ts';
import {
  type ConfigStore,
  HeadConflict,
  type HeadEvent,
  HeadInvalid,
  StoreCorrupt,
  StoreUnavailable,
} from '@arcus/control/store.ts';
import { testHead } from '@arcus/testkit/keys.ts';
import { until } from '@arcus/testkit/until.ts';
import { type Place, places } from './config-store-places.ts';

const head = (version: number): Head => testHead(version);
const versionOf = (found: { head: Head } | null) => found?.head.stable.version;

function manifest(tenant: string, version: number, author = 'me'): Manifest {
  const sections = [{ path: '/tenant', blobs: [sha256('x')], list: false }];
  const created_at = '2026-01-01T00:00:00Z';
  return { schema: SCHEMA, tenant, version, sections, checksum: sha256('doc'), author, message: '', created_at };
}

function worker(id: string, tenants = 1): WorkerRecord {
  return {
    schema: SCHEMA,
    id,
    labels: { zone: 'a' },
    host: 'h',
    pid: 1,
    software: '0.1.0',
    started_at: '2026-01-01T00:00:00Z',
    reported_at: '2026-01-01T00:00:00Z',
    admin: '127.0.0.1:7900',
    tenants,
    refused: 0,
  };
}

/** Collects what a watch says. */
function collect(store: ConfigStore) {
  const stop = new AbortController();
  const events: HeadEvent[] = [];
  const done = (async () => {
    for await (const event of store.watchHeads(stop.signal)) events.push(event);
  })();
  const lines = (tenant?: string) =>
    events
      .filter((event) => event.type !== 'list' && (tenant === undefined || event.tenant === tenant))
      .map((event) => (event.type === 'put' ? `put ${event.head.stable.version}` : event.type));
  return {
    events,
    lines,
    listed: () => until(() => events.find((event) => event.type === 'list'), { what: 'the list' }),
    async stop() {
      stop.abort();
      await done;
    },
  };
}

for (const [kind, makePlace] of Object.entries(places)) {
  describe(`the ${kind} store`, () => {
    let place: Place;
    let store: ConfigStore;
    let other: ConfigStore;
    before(async () => {
      place = await makePlace();
      store = await place.open();
      other = await place.open();
    });
    after(async () => {
      await store?.close();
      await other?.close();
      await place?.close();
    });

    test('keeps blobs by their hash, and only what fits it', async () => {
      assert.equal(store.kind, kind);
      await store.ping();
      const bodies = [Buffer.alloc(0), Buffer.from([0, 255, 10, 13]), Buffer.alloc(512 * 1024, 7)];
      const names = bodies.map((body) => sha256(body));
      assert.deepEqual(await store.missingBlobs(names), names);
      for (const [i, body] of bodies.entries()) await store.putBlob(names[i]!, body);
      await other.putBlob(names[1]!, bodies[1]!);
      const found = await other.getBlobs(names);
      for (const [i, body] of bodies.entries()) assert.ok(Buffer.from(found.get(names[i]!)!).equals(body));
      assert.deepEqual(await store.missingBlobs([...names, sha256('none')]), [sha256('none')]);
      await assert.rejects(store.putBlob(sha256('a'), Buffer.from('b')), StoreCorrupt);
      await assert.rejects(store.getBlobs([names[0]!, sha256('none')]), StoreCorrupt);
      await store.deleteBlobs([names[0]!, sha256('none')]);
      assert.deepEqual(await other.missingBlobs(names), [names[0]]);
    });

    test('notices a damaged blob, and storing it again heals it', async () => {
      const body = Buffer.from('precious');
      const name = sha256(body);
      await store.putBlob(name, body);
      await place.spoilBlob(name, Buffer.from('spoiled'));
      await assert.rejects(store.getBlobs([name]), StoreCorrupt);
      await store.putBlob(name, body);
      assert.ok(Buffer.from((await store.getBlobs([name])).get(name)!).equals(body));
    });

    test('reads many and large blobs at once', async () => {
      const bodies = Array.from({ length: 130 }, (_, i) => Buffer.alloc(i < 60 ? 500_000 : 10, `${i + 100}`));
      await Promise.all(bodies.map((body) => store.putBlob(sha256(body), body)));
      const found = await other.getBlobs(bodies.map((body) => sha256(body)));
      assert.equal(found.size, 130);
    });

    test('keeps manifests, each version once', async () => {
      assert.equal(await store.getManifest('acme', 1), null);
      await store.putManifest(manifest('acme', 1));
      await other.putManifest(manifest('acme', 1));
      assert.deepEqual(await other.getManifest('acme', 1), manifest('acme', 1));
      await assert.rejects(store.putManifest(manifest('acme', 1, 'somebody else')), StoreCorrupt);
      await store.deleteManifests('acme', [1, 2]);
      assert.equal(await store.getManifest('acme', 1), null);
    });

    test('lets only one of several writers move a head', async () => {
      assert.equal(await store.getHead('t1'), null);
      const first = await store.putHead('t1', head(1), null);
      await assert.rejects(other.putHead('t1', head(2), null), HeadConflict);
      assert.equal((await other.getHead('t1'))?.revision, first);
      const results = await Promise.allSettled(
        Array.from({ length: 20 }, (_, i) => (i % 2 ? store : other).putHead('t1', head(10 + i), first)),
      );
      const won = results.flatMap((result, i) => (result.status === 'fulfilled' ? [i] : []));
      assert.equal(won.length, 1);
      assert.equal(versionOf(await store.getHead('t1')), 10 + won[0]!);
      for (const result of results) assert.ok(result.status === 'fulfilled' || result.reason instanceof HeadConflict);
      await assert.rejects(store.deleteHead('t1', first), HeadConflict);
      const now = await other.getHead('t1');
      await store.deleteHead('t1', now!.revision);
      assert.equal(await other.getHead('t1'), null);
      await assert.rejects(other.putHead('t1', head(3), now!.revision), HeadConflict);
      await other.putHead('t1', head(3), null);
      assert.equal(versionOf(await store.getHead('t1')), 3);
    });

    test('puts a release and its head in one step, or nothing of it', async (t) => {
      if (!store.publish) return t.skip('this kind goes step by step');
      const [kept, fresh] = [Buffer.from('kept'), Buffer.from('fresh')];
      const blobs = new Map([[sha256(fresh), fresh]]);
      const next: Manifest = {
        ...manifest('acme', 2),
        sections: [{ path: '/tenant', blobs: [sha256(kept), sha256(fresh)], list: false }],
      };
      const expected = await store.putHead('acme', head(1), null);
      const nothing = async () => {
        assert.equal(versionOf(await other.getHead('acme')), 1);
        assert.equal(await other.getManifest('acme', 2), null);
        assert.deepEqual(await other.missingBlobs([sha256(fresh)]), [sha256(fresh)]);
      };
      assert.equal(await store.publish({ head: head(2), manifest: next, blobs, expected }), null);
      await nothing(); // the kept blob is not there
      await store.putBlob(sha256(kept), kept);
      assert.equal(await store.publish({ head: head(2), manifest: next, blobs, expected: '1' }), null);
      await nothing(); // the head is another one
      const revision = await store.publish({ head: head(2), manifest: next, blobs, expected });
      assert.deepEqual(await other.getHead('acme'), { head: head(2), revision });
      assert.deepEqual(await other.getManifest('acme', 2), next);
      assert.ok(Buffer.from((await other.getBlobs([sha256(fresh)])).get(sha256(fresh))!).equals(fresh));
      const again = { head: head(3), manifest: next, blobs, expected: revision! };
      assert.equal(await store.publish(again), null, 'no version is written twice');
      await store.deleteHead('acme', revision!);
      await store.deleteManifests('acme', [2]);
    });

    test('loses no update of many writers that read, add one and write', async () => {
      await store.putHead('counter', head(1), null);
      const add = async (through: ConfigStore) => {
        for (;;) {
          const now = await through.getHead('counter');
          try {
            return await through.putHead('counter', head(versionOf(now)! + 1), now!.revision);
          } catch (error) {
            if (!(error instanceof HeadConflict)) throw error;
          }
        }
      };
      await Promise.all(Array.from({ length: 30 }, (_, i) => add(i % 2 ? store : other)));
      assert.equal(versionOf(await store.getHead('counter')), 31);
    });

    test('watches from a list on: each change once and in order, also of a second process', async () => {
      await store.putHead('w1', head(1), null);
      const watch = collect(store);
      const list = await watch.listed();
      assert.equal(list.type === 'list' && list.heads.get('w1')?.stable.version, 1);
      let revision = (await store.getHead('w1'))!.revision;
      for (let version = 2; version <= 40; version++) {
        revision = await (version % 2 ? store : other).putHead('w1', head(version), revision);
      }
      await other.deleteHead('w1', revision);
      await other.putHead('w1', head(41), null);
      await other.putHead('w2', head(1), null);
      const expected = [...Array.from({ length: 39 }, (_, i) => `put ${i + 2}`), 'delete', 'put 41'];
      await until(() => watch.lines('w1').length >= expected.length && watch.lines('w2').length > 0);
      assert.deepEqual(watch.lines('w1'), expected);
      assert.deepEqual(watch.lines('w2'), ['put 1']);
      assert.equal(watch.events.filter((event) => event.type === 'list').length, 1);
      await watch.stop();
    });

    test('hands nothing twice and forgets nothing while nobody takes what it watched', async () => {
      const stop = new AbortController();
      const watch = store.watchHeads(stop.signal)[Symbol.asyncIterator]();
      assert.equal((await watch.next()).value.type, 'list');
      let revision: string | null = null;
      for (let version = 1; version <= 50; version++) revision = await other.putHead('lazy', head(version), revision);
      for (let version = 1; version <= 50; version++) {
        const { value } = await watch.next();
        assert.equal(value.type === 'put' && value.head.stable.version, version);
      }
      const end = watch.next();
      stop.abort();
      assert.equal((await end).done, true);
    });

    test('a head that makes no sense is told with the reason, and can be replaced', async () => {
      const watch = collect(store);
      await watch.listed();
      await store.putHead('bad', head(1), null);
      await place.spoilHead('bad');
      await until(() => watch.lines('bad').length === 2);
      const invalid = watch.events.find((event) => event.type === 'invalid');
      assert.ok(invalid?.type === 'invalid' && invalid.reason.length > 10);
      const later = collect(other);
      const list = await later.listed();
      assert.ok(list.type === 'list' && list.invalid.has('bad') && !list.heads.has('bad'));
      const error = await store.getHead('bad').then(
        () => assert.fail('it parsed'),
        (thrown: unknown) => thrown as HeadInvalid,
      );
      assert.ok(error instanceof HeadInvalid);
      await store.putHead('bad', head(2), error.revision);
      await until(() => watch.lines('bad').length === 3);
      assert.deepEqual(watch.lines('bad'), ['put 1', 'invalid', 'put 2']);
      await watch.stop();
      await later.stop();
    });

    test('lists more heads than fit one answer', async () => {
      const names = Array.from({ length: 1200 }, (_, i) => `many-${i}`);
      for (let i = 0; i < names.length; i += 50) {
        await Promise.all(names.slice(i, i + 50).map((name) => store.putHead(name, head(1), null)));
      }
      const watch = collect(other);
      const list = await watch.listed();
      assert.ok(list.type === 'list' && names.every((name) => list.heads.has(name)));
      await watch.stop();
    });

    test('shows workers and what they run as long as they live', async () => {
      const lease = await store.leaseWorker(worker('w-1'), 600);
      assert.deepEqual(await other.listWorkers(), [worker('w-1')]);
      const statuses = new Map<string, TenantStatus>();
      for (let i = 0; i < 250; i++) statuses.set(`s-${i}`, { applied: i });
      statuses.set('s-0', {
        applied: 0,
        refused: { version: 2, issues: [{ pointer: '/servers/0', message: 'port taken', code: 'listen' }] },
      });
      await lease.report(statuses);
      for (const [tenant, status] of statuses) {
        if (tenant.endsWith('0')) assert.deepEqual((await other.listStatus(tenant)).get('w-1'), status);
      }
      await Promise.all([
        lease.report(new Map([['s-1', { applied: 5 }]])),
        lease.report(new Map([['s-1', { applied: 6 }]])),
        lease.report(new Map([['s-2', null]])),
        lease.update(worker('w-1', 2)),
        lease.update(worker('w-1', 3)),
      ]);
      assert.deepEqual((await other.listStatus('s-1')).get('w-1'), { applied: 6 });
      assert.equal((await other.listStatus('s-2')).size, 0);
      assert.equal((await other.listWorkers())[0]?.tenants, 3);
      const second = await other.leaseWorker(worker('w-2'), 600);
      await second.report(new Map([['s-1', { applied: 9 }]]));
      assert.deepEqual([...(await store.listStatus('s-1')).keys()].sort(), ['w-1', 'w-2']);
      await lease.close();
      await lease.close();
      assert.deepEqual(
        (await store.listWorkers()).map((record) => record.id),
        ['w-2'],
      );
      assert.deepEqual([...(await store.listStatus('s-1')).keys()], ['w-2']);
      await second.close();
    });

    test('a worker that leaves says so until its lease runs out, and does not speak for a newer one', async () => {
      const lease = await store.leaseWorker(worker('w-3'), 600);
      await lease.close({ ...worker('w-3'), left: true });
      assert.equal((await other.listWorkers()).find((record) => record.id === 'w-3')?.left, true);
      await place.expireWorker('w-3');
      assert.deepEqual(await other.listWorkers(), []);
      const old = await store.leaseWorker(worker('w-3'), 600);
      const next = await other.leaseWorker(worker('w-3', 7), 600);
      await old.close({ ...worker('w-3'), left: true });
      assert.deepEqual(await store.listWorkers(), [worker('w-3', 7)]);
      await next.close();
    });

    test('a worker that comes back to life says again what it runs', async () => {
      const lease = await store.leaseWorker(worker('phoenix'), 6);
      await lease.report(new Map([['acme', { applied: 3 }]]));
      await place.expireWorker('phoenix');
      await until(async () => (await other.listWorkers()).some((record) => record.id === 'phoenix'));
      await until(async () => (await other.listStatus('acme')).get('phoenix')?.applied === 3);
      await lease.close();
    });

    test('a worker that died is not shown, nor what it said', async () => {
      const dying = await place.open();
      const lease = await dying.leaseWorker(worker('mortal'), 600);
      await lease.report(new Map([['acme', { applied: 3 }]]));
      await place.expireWorker('mortal');
      assert.deepEqual(await other.listWorkers(), []);
      assert.equal((await other.listStatus('acme')).size, 0);
      await dying.close();
    });

    test('a worker that writes nonsense hides itself, and no other', async () => {
      const leases = [await store.leaseWorker(worker('sane'), 600), await store.leaseWorker(worker('mad'), 600)];
      for (const lease of leases) await lease.report(new Map([['acme', { applied: 3 }]]));
      await place.spoilWorker('mad');
      assert.deepEqual(await other.listWorkers(), [worker('sane')]);
      assert.equal((await other.listStatus('acme')).get('sane')?.applied, 3);
      for (const lease of leases) await lease.close();
    });

    test('names of all shapes find their own things', async () => {
      const names = ['_global', 'global', 'a', 'a-', 'a--', 'a-1', 'a-1-', `${'x'.repeat(62)}-`, '0'];
      for (const [i, name] of names.entries()) {
        await store.putHead(name, head(i + 1), (await store.getHead(name))?.revision ?? null);
        await store.putManifest(manifest(name, i + 1));
      }
      const watch = collect(other);
      const list = await watch.listed();
      assert.ok(list.type === 'list');
      for (const [i, name] of names.entries()) {
        assert.equal(list.heads.get(name)?.stable.version, i + 1, name);
        assert.deepEqual(await other.getManifest(name, i + 1), manifest(name, i + 1));
      }
      await watch.stop();
      const ids = ['w', 'W', 'w.1', 'w_1', 'w-1', 'w-', 'X'.repeat(128)];
      const leases = await Promise.all(ids.map((id) => store.leaseWorker(worker(id), 600)));
      await Promise.all(leases.map((lease, i) => lease.report(new Map([['a-', { applied: i }]]))));
      const sorted = (all: Iterable<string>) => [...all].sort();
      assert.deepEqual(sorted((await other.listWorkers()).map(({ id }) => id)), sorted(ids));
      const said = await other.listStatus('a-');
      for (const [i, id] of ids.entries()) assert.equal(said.get(id)?.applied, i, id);
      assert.equal((await other.listStatus('a')).size, 0);
      for (const lease of leases) await lease.close();
    });

    test('after everything was lost the watcher gets a new list, and publishing works again', async () => {
      const watch = collect(store);
      await watch.listed();
      const lists = () => watch.events.filter((event) => event.type === 'list');
      const before = watch.lines('again').length;
      const revision = await store.putHead('again', head(7), null);
      await until(() => watch.lines('again').length > before);
      await place.wipe();
      if (kind === 'file') await until(() => lists().length >= 2);
      else await until(() => watch.lines('again').includes('delete'));
      await assert.rejects(store.putHead('again', head(8), revision), HeadConflict);
      await store.putHead('again', head(8), null);
      await until(() => watch.lines('again').at(-1) === 'put 8');
      await watch.stop();
    });

    test('refuses names that would lead elsewhere', async () => {
      await assert.rejects(async () => store.getHead('../x'), TypeError);
      await assert.rejects(async () => store.getHead('a/b'), TypeError);
      await assert.rejects(async () => store.getBlobs(['../../etc/passwd']), TypeError);
      await assert.rejects(async () => store.leaseWorker(worker('../x'), 1), TypeError);
    });

    test('ends its watches when it is closed', async () => {
      const own = await place.open();
      const watch = own.watchHeads(new AbortController().signal)[Symbol.asyncIterator]();
      await watch.next();
      await own.close();
      assert.equal((await watch.next()).done, true);
    });
  });
}

test('a store that is not there says so in time', async () => {
  const store = await openStore('etcd://127.0.0.1:9', { deadline: 500 });
  await assert.rejects(store.ping(), StoreUnavailable);
  await assert.rejects(store.getHead('a'), StoreUnavailable);
  await store.close();
  const kube = await openStore('kubernetes://arcus', { kubeUrl: 'http://127.0.0.1:9', deadline: 500 });
  await assert.rejects(kube.ping(), StoreUnavailable);
  await assert.rejects(kube.putHead('a', head(1), null), StoreUnavailable);
  await kube.close();
  const file = await openStore('file:/dev/null/here');
  await assert.rejects(file.putHead('a', head(1), null), StoreUnavailable);
  await file.close();
});

test('an address or option that makes no sense is refused', async () => {
  const kubeUrl = 'http://127.0.0.1:1';
  for (const url of [
    'kubernetes:',
    'kubernetes:?namespace=',
    'kubernetes:?namespace=A',
    'kubernetes:x',
    'kubernetes://a?b=c',
  ]) {
    await assert.rejects(openStore(url, { kubeUrl }), TypeError, url);
  }
  const named = 'kubernetes://arcus';
  await assert.rejects(openStore(named), TypeError);
  await assert.rejects(openStore(named, { kubeUrl, user: 'a', password: 'b' }), TypeError);
  await assert.rejects(openStore(named, { kubeUrl, prefix: '/x/' }), TypeError);
  await assert.rejects(openStore(named, { kubeUrl, kubeTokenFile: '/x' }), TypeError);
  await assert.rejects(openStore('etcd://x:1', { kubeUrl }), TypeError);
  for (const url of ['', 'http://x', 'etcd://', 'etcd://x', 'etcd://x:1/path', 'file:', 'etcd://a:1,b']) {
    await assert.rejects(openStore(url), TypeError, url);
  }
  await assert.rejects(openStore('file:/tmp/x', { user: 'a', password: 'b' }), TypeError);
  await assert.rejects(openStore('etcd://x:1', { caFile: '/x' }), TypeError);
  await assert.rejects(openStore('etcd://x:1', { user: 'a' }), TypeError);
  await assert.rejects(openStore('etcds://x:1', { certFile: '/x' }), TypeError);
});
