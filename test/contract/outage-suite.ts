/** What the management service promises on every database while the config store is away, and beside another one. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { testApi } from '@arcus/api/testing.ts';
import { openStore } from '@arcus/control/open.ts';
import { type ConfigStore, StoreUnavailable } from '@arcus/control/store.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until, within } from '@arcus/testkit/until.ts';
import { type NewDatabase, onDatabase } from './lib/database.ts';

export function outageSuite(name: string, newDatabase: NewDatabase): void {
  const { open, tenant } = onDatabase(newDatabase);

  describe(`management service on ${name}`, () => {
    test('a write while the store is away is accepted as pending, and goes live when it is back', async (t) => {
      const flaky = await flakyStore(t);
      const api = await open(t, { store: flaky.store });
      api.app.context.publisher.start(20);
      await tenant(api, 'acme');
      flaky.away = true;
      const put = await api.call('POST', '/tenants/acme/escapers', { body: { name: 'no', type: 'dummy_deny' } });
      assert.equal(put.status, 201);
      assert.equal(put.headers['arcus-release-state'], 'pending');
      const more = await api.call('POST', '/tenants/acme/escapers', { body: { name: 'no2', type: 'dummy_deny' } });
      assert.equal(more.headers['arcus-release-state'], 'pending');
      flaky.away = false;
      await until(async () => (await flaky.store.getHead('acme'))?.head.stable.version === 3);
      await until(async () => (await api.call('GET', '/tenants/acme/releases')).body.items[0].state === 'published');
      const states = (await api.call('GET', '/tenants/acme/releases')).body.items.map(
        (r: { state: string }) => r.state,
      );
      assert.deepEqual(states, ['published', 'superseded', 'published']);
    });

    test('a service that died between commit and publish finishes the release when it starts again', async (t) => {
      const flaky = await flakyStore(t);
      const database = await newDatabase();
      const first = await testApi({ store: flaky.store, ...(database === undefined ? {} : { database }) });
      flaky.away = true;
      const made = await first.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'x' } });
      assert.equal(made.headers['arcus-release-state'], 'pending');
      flaky.away = false;
      // No reconciler ever ran in the first one; the second finds the release in the database.
      const second = await open(t, { store: flaky.store, database: first.database });
      assert.equal(await flaky.store.getHead('acme'), null);
      second.app.context.publisher.start(20);
      await until(async () => (await flaky.store.getHead('acme'))?.head.stable.version === 1);
      await first.close();
    });

    test('what the database knows is told while the store is away, and who waits is told so in time', async (t) => {
      const flaky = await flakyStore(t);
      const api = await open(t, { store: flaky.store });
      await tenant(api, 'acme');
      flaky.away = true;
      await api.call('POST', '/tenants/acme/escapers', { body: { name: 'no', type: 'dummy_deny' } });
      const { status, body } = await api.call('GET', '/tenants/acme/config/status');
      assert.deepEqual([status, body.version, body.state, body.store], [200, 2, 'pending', 'away']);
      assert.deepEqual([body.workers, body.summary.workers, body.summary.converged], [[], 0, false]);
      // A store that does not say that it is away.
      const hangs = Promise.withResolvers<void>();
      flaky.known = hangs.promise;
      const asked = api.call('POST', '/tenants/acme/reload?wait=acked&timeout=1s');
      const waited = await within(asked, 'an answer before the store has one', 30_000);
      assert.deepEqual([waited.status, waited.body.state, waited.body.release], [504, 'pending', 3], waited.text);
      assert.match(waited.body.detail, /The config store is away/);
      hangs.resolve();
    });

    test('workers hear of a deleted tenant when the store is back', async (t) => {
      const flaky = await flakyStore(t);
      const api = await open(t, { store: flaky.store });
      await tenant(api, 'acme');
      flaky.away = true;
      assert.equal((await api.call('DELETE', '/tenants/acme', { match: '*' })).status, 204);
      flaky.away = false;
      assert.equal((await flaky.store.getHead('acme'))?.head.deleted, undefined);
      api.app.context.publisher.start(20);
      await until(async () => (await flaky.store.getHead('acme'))?.head.deleted === true);
    });

    test('two services on one database lose no write of the same tenant', { skip: name === 'SQLite' }, async (t) => {
      const flaky = await flakyStore(t);
      const one = await open(t, { store: flaky.store });
      const two = await open(t, { store: flaky.store, database: one.database });
      await tenant(one, 'acme');
      const token = one.admin;
      const answers = await Promise.all(
        Array.from({ length: 30 }, (_, i) =>
          (i % 2 ? one : two).call('POST', '/tenants/acme/escapers', {
            body: { name: `e${i}`, type: 'dummy_deny' },
            token,
          }),
        ),
      );
      assert.deepEqual([...new Set(answers.map((a) => a.status))], [201]);
      for (const api of [one, two]) {
        const got = await api.call('GET', '/tenants/acme/config', { token });
        assert.equal(got.body.escapers.length, 30);
      }
      assert.equal((await flaky.store.getHead('acme'))?.head.stable.version, 31);
    });
  });
}

/** A file store that can be away. */
async function flakyStore(t: TestContext): Promise<{ store: ConfigStore; away: boolean; known: Promise<void> }> {
  const dir = tempDir('store');
  const real = await openStore(`file:${dir.path}/store`);
  t.after(async () => {
    await real.close();
    dir.close();
  });
  const flaky = {
    away: false,
    /** Until then nobody knows that it is. */
    known: Promise.resolve(),
    store: new Proxy(real, {
      get(target, key) {
        const value = Reflect.get(target, key) as unknown;
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) =>
          flaky.away && key !== 'close' && key !== 'watchHeads'
            ? flaky.known.then(() => Promise.reject(new StoreUnavailable('away')))
            : value.apply(target, args);
      },
    }),
  };
  return flaky;
}
