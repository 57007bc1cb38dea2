/** What the management service puts into the store, and puts back: on both databases. */
import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import { type TestApi, type TestApiOptions, testApi } from '@arcus/api/testing.ts';
import { openStore } from '@arcus/control/open.ts';
import type { ConfigStore } from '@arcus/control/store.ts';
import { newKeys, testKeys } from '@arcus/testkit/keys.ts';
import { type MariaDbServer, startMariaDb } from '@arcus/testkit/mariadb.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until } from '@arcus/testkit/until.ts';

let maria: MariaDbServer;
let count = 0;
before(async () => {
  maria = await startMariaDb();
});
after(() => maria.close());

const databases = { SQLite: () => undefined, MariaDB: () => maria.urlOf(`heads_${++count}`) };

async function folder(t: TestContext): Promise<{ path: string; store: ConfigStore }> {
  const dir = tempDir('heads');
  const store = await openStore(`file:${dir.path}/store`);
  t.after(async () => {
    await store.close();
    dir.close();
  });
  return { path: `${dir.path}/store`, store };
}

for (const [name, fresh] of Object.entries(databases)) {
  describe(`heads, with ${name}`, () => {
    async function open(t: TestContext, options: TestApiOptions = {}): Promise<TestApi> {
      const database = options.database ?? fresh();
      const api = await testApi({ ...options, ...(database === undefined ? {} : { database }) });
      t.after(() => api.close());
      return api;
    }
    const make = (api: TestApi, tenant_id: string) =>
      api.call('POST', '/tenants', { body: { tenant_id, tenant_name: tenant_id } });
    const head = async (store: ConfigStore, tenant: string) => (await store.getHead(tenant))?.head;
    const good = async (store: ConfigStore, tenant: string, version: number) => {
      const found = await head(store, tenant).catch(() => undefined);
      return found?.stable.version === version && (await testKeys().verifier.check(found, tenant)) === null && found;
    };

    test('every head is signed, and its number grows whatever the clock does', async (t) => {
      let now = Date.parse('2026-06-01T12:00:00Z');
      const api = await open(t, { now: () => now });
      await make(api, 'acme');
      const first = await good(api.store, 'acme', 1);
      assert.ok(first && first.seq === now);
      now -= 3_600_000;
      await api.call('POST', '/tenants/acme/reload');
      const second = await good(api.store, 'acme', 2);
      assert.ok(second && second.seq === first.seq + 1);
      now += 7_200_000;
      await api.call('POST', '/tenants/acme/reload');
      assert.equal((await head(api.store, 'acme'))?.seq, now);
      assert.equal((await api.call('DELETE', '/tenants/acme', { match: '*' })).status, 204);
      const gone = await head(api.store, 'acme');
      assert.deepEqual([gone?.deleted, gone?.seq, gone?.stable.version], [true, now + 1, 3]);
      await make(api, 'acme');
      const again = await good(api.store, 'acme', 4);
      assert.ok(again && again.seq === now + 2);
    });

    test('a store that was wiped is filled again, deleted tenants and all', async (t) => {
      const { store, path } = await folder(t);
      const api = await open(t, { store });
      for (const tenant of ['acme', 'beta', 'gone']) await make(api, tenant);
      await api.call('POST', '/tenants/acme/reload');
      await api.call('DELETE', '/tenants/gone', { match: '*' });
      api.app.context.publisher.start(50);
      const before = await Promise.all(['acme', 'beta', 'gone'].map((tenant) => head(store, tenant)));
      const { rename, rm } = await import('node:fs/promises');
      await rename(path, `${path}.old`);
      await until(async () => (await good(store, 'acme', 2)) && (await good(store, 'beta', 1)) && head(store, 'gone'));
      const after = await Promise.all(['acme', 'beta', 'gone'].map((tenant) => head(store, tenant)));
      assert.deepEqual(after, before, 'the same heads, byte for byte');
      const manifest = await store.getManifest('acme', 2);
      assert.deepEqual(await store.missingBlobs(manifest!.sections.flatMap((section) => section.blobs)), []);
      await rm(`${path}.old`, { recursive: true });
    });

    test('a head that was deleted, altered, replayed or forged is put right', async (t) => {
      const { store } = await folder(t);
      const api = await open(t, { store });
      await make(api, 'acme');
      const old = (await head(store, 'acme'))!;
      await api.call('POST', '/tenants/acme/reload');
      const right = (await head(store, 'acme'))!;
      api.app.context.publisher.start(50);
      const now = async () => (await store.getHead('acme'))!;
      const { signature: _, ...body } = old;
      for (const wrong of [old, { ...right, seq: right.seq + 9 }, newKeys().signer.sign({ ...body, seq: 2 ** 50 })]) {
        await store.putHead('acme', wrong, (await now()).revision);
        await until(async () => JSON.stringify((await now()).head) === JSON.stringify(right));
      }
      await store.deleteHead('acme', (await now()).revision);
      await until(async () => (await good(store, 'acme', 2)) && true);
    });

    test('what was lost while no service ran is put back when one starts; with a new key all is signed anew', async (t) => {
      const { store } = await folder(t);
      const api = await open(t, { store });
      await make(api, 'acme');
      await make(api, 'beta');
      await store.deleteHead('acme', (await store.getHead('acme'))!.revision);
      await api.app.close();
      const keys = newKeys();
      const second = await open(t, { store, database: api.database, keys });
      second.app.context.publisher.start(50);
      const seqs = await until(async () => {
        const heads = await Promise.all(['acme', 'beta'].map((tenant) => head(store, tenant)));
        return heads.every((one) => one?.signature.key === keys.signer.key) && heads.map((one) => one?.stable.version);
      });
      assert.deepEqual(seqs, [1, 1]);
    });

    test('a tombstone that all have heard leaves the store, and its number is not used again', async (t) => {
      const { store } = await folder(t);
      let now = Date.now();
      const api = await open(t, { store, now: () => now });
      await make(api, 'acme');
      await api.call('DELETE', '/tenants/acme', { match: '*' });
      const gone = (await head(store, 'acme'))!;
      now += 31 * 86_400_000;
      api.app.context.publisher.start(50);
      await until(async () => (await store.getHead('acme')) === null);
      now -= 31 * 86_400_000;
      await make(api, 'acme');
      const again = (await head(store, 'acme'))!;
      assert.ok(again.seq > gone.seq && again.stable.version === 2);
    });

    test('a placement, and a deletion, among writes that are on their way is out when it is answered', async (t) => {
      const api = await open(t);
      await make(api, 'acme');
      const { publisher } = api.app.context;
      let called = 0;
      const publish = publisher.publish.bind(publisher);
      t.mock.method(publisher, 'publish', (...args: Parameters<typeof publish>) => {
        called++;
        return publish(...args);
      });
      const putHead = api.store.putHead.bind(api.store);
      const changes = [
        () => api.call('PUT', '/tenants/acme', { match: '*', body: { tenant_name: 'acme', placement: { a: 'b' } } }),
        () => api.call('DELETE', '/tenants/acme', { match: '*' }),
      ];
      for (const [i, change] of changes.entries()) {
        called = 0;
        let open = () => {};
        const gate = new Promise<void>((resolve) => {
          open = resolve;
        });
        t.mock.method(api.store, 'putHead', async (...args: Parameters<typeof putHead>) => {
          await gate;
          return putHead(...args);
        });
        // The first is at the store; the second waits for it with what it has in memory; so does the change.
        const answers: Promise<unknown>[] = [];
        for (const name of ['x', 'y']) {
          const body = { name: `${name}${i}`, type: 'dummy_deny' };
          answers.push(api.call('POST', '/tenants/acme/escapers', { body }));
          await until(() => called === answers.length);
        }
        const answer = change();
        await until(() => called === 3);
        open();
        const { headers } = await answer;
        const now = await head(api.store, 'acme');
        assert.equal(headers['arcus-release-state'], 'published');
        if (i === 0) assert.equal(now?.placement, undefined, 'it runs everywhere until it has moved');
        if (i === 0)
          assert.equal(
            BigInt(now!.seq),
            (await api.db.client.tenant.findUnique({ where: { tenant_id: 'acme' } }))!.seq,
          );
        else assert.equal(now?.deleted, true);
        await Promise.all(answers);
      }
    });

    test('a release that waited for the store goes out when that is back, whatever the clock does', async (t) => {
      let now = Date.now();
      const api = await open(t, { now: () => now });
      await make(api, 'acme');
      api.app.context.publisher.start(50);
      // Its keeper has looked at all heads by then.
      await api.store.deleteHead('acme', (await api.store.getHead('acme'))!.revision);
      await until(() => good(api.store, 'acme', 1));
      const away = t.mock.method(api.store, 'putHead', () => Promise.reject(new Error('not now')));
      const wrote = await api.call('POST', '/tenants/acme/reload');
      assert.equal(wrote.headers['arcus-release-state'], 'pending');
      now -= 3_600_000;
      away.mock.restore();
      await until(() => good(api.store, 'acme', 2));
    });

    test('a release that is held changes nothing that is served, and what comes after must say what it wants', async (t) => {
      const api = await open(t);
      await make(api, 'acme');
      const url = '/tenants/acme/escapers';
      const out = (name: string) => ({ name, type: 'dummy_deny' });
      const held = await api.call('POST', `${url}?publish=hold`, { body: out('a') });
      assert.equal(held.headers['arcus-release-state'], 'held');
      assert.equal(held.headers['arcus-release'], '2');
      assert.equal((await head(api.store, 'acme'))?.stable.version, 1);
      assert.equal(await api.app.context.publisher.publish('acme'), true);
      assert.equal((await head(api.store, 'acme'))?.stable.version, 1);

      const refused = await api.call('POST', url, { body: out('b') });
      assert.equal(refused.status, 409, refused.text);
      assert.match(refused.body.detail, /release 2 is held, and 1 is served/);
      assert.equal((await api.call('POST', `${url}?publish=hold`, { body: out('b') })).headers['arcus-release'], '3');
      const out4 = await api.call('POST', `${url}?publish=now`, { body: out('c') });
      assert.equal(out4.headers['arcus-release-state'], 'published');
      assert.equal((await head(api.store, 'acme'))?.stable.version, 4);
      const list = await api.call('GET', '/tenants/acme/releases');
      assert.deepEqual(
        list.body.items.map((release: { state: string }) => release.state),
        ['published', 'superseded', 'superseded', 'published'],
      );
      const first = { tenant_id: 'beta', tenant_name: 'x' };
      assert.equal((await api.call('POST', '/tenants?publish=hold', { body: first })).status, 409);
    });

    test('a tenant is suspended at once while a release is held: what is stable goes out so, what is held stays held', async (t) => {
      const api = await open(t);
      await make(api, 'acme');
      const body = { name: 'a', type: 'dummy_deny' };
      await api.call('POST', '/tenants/acme/escapers?publish=hold', { body });
      const own = { tenant_name: 'acme', status: 'suspended' };
      const put = await api.call('PUT', '/tenants/acme', { body: own, match: '*' });
      assert.equal(put.status, 200, put.text);
      assert.deepEqual([put.headers['arcus-release'], put.headers['arcus-release-state']], ['3', 'published']);
      assert.deepEqual([put.body.status, put.body.version], ['suspended', 4]);
      assert.ok(await good(api.store, 'acme', 3));
      const document = async (version: number) =>
        (await api.call('GET', `/tenants/acme/releases/${version}/document`)).body;
      const [served, held] = [await document(3), await document(4)];
      assert.deepEqual([served.tenant.status, served.config.escapers], ['suspended', []]);
      assert.deepEqual([held.tenant.status, held.config.escapers.length], ['suspended', 1]);
      const states = (await api.call('GET', '/tenants/acme/releases')).body.items;
      assert.deepEqual(
        states.map((release: { state: string }) => release.state),
        ['held', 'published', 'superseded', 'published'],
      );
      // Everything else still has to say what it wants.
      const other = { tenant_name: 'new name', status: 'suspended' };
      assert.equal((await api.call('PUT', '/tenants/acme', { body: other, match: '*' })).status, 409);
      await api.call('PUT', '/tenants/acme', { body: { ...own, status: 'active' }, match: '*' });
      assert.ok(await good(api.store, 'acme', 5));
      assert.equal((await document(5)).tenant.status, 'active');
      const now = await api.call('POST', '/tenants/acme/escapers?publish=now', { body: { ...body, name: 'b' } });
      assert.deepEqual([now.headers['arcus-release'], (await document(7)).config.escapers.length], ['7', 2], now.text);
    });

    test('a suspension that meets a store that is away is published when it is back', async (t) => {
      const api = await open(t);
      await make(api, 'acme');
      await api.call('POST', '/tenants/acme/escapers?publish=hold', { body: { name: 'a', type: 'dummy_deny' } });
      t.mock.method(api.store, 'putHead', () => Promise.reject(new Error('not now')));
      const own = { tenant_name: 'acme', status: 'suspended' };
      const put = await api.call('PUT', '/tenants/acme', { body: own, match: '*' });
      assert.equal(put.headers['arcus-release-state'], 'pending');
      t.mock.restoreAll();
      api.app.context.publisher.start(50);
      await until(() => good(api.store, 'acme', 3));
    });
  });
}
