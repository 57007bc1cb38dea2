/** Where tenants run, and how they move: on both databases, with workers that are played. */
import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import { Mover } from '@arcus/api/features/tenants/mover.ts';
import { type TestApi, type TestApiOptions, testApi } from '@arcus/api/testing.ts';
import { type MariaDbServer, startMariaDb } from '@arcus/testkit/mariadb.ts';
import { until } from '@arcus/testkit/until.ts';
import { fleet } from './played-fleet.ts';

let maria: MariaDbServer;
let count = 0;
before(async () => {
  maria = await startMariaDb();
});
after(() => maria?.close());

const databases = { SQLite: () => undefined, MariaDB: () => maria.urlOf(`placement_${++count}`) };
const sites = { a1: { site: 'a' }, a2: { site: 'a' }, b1: { site: 'b' }, b2: { site: 'b' } };

for (const [name, fresh] of Object.entries(databases)) {
  describe(`placement, with ${name}`, () => {
    async function open(t: TestContext, options: TestApiOptions = {}): Promise<TestApi> {
      const database = fresh();
      const api = await testApi({ ...options, ...(database === undefined ? {} : { database }) });
      t.after(() => api.close());
      return api;
    }
    const tenant = { tenant_name: 'Acme' };
    const head = async (api: TestApi) => (await api.store.getHead('acme'))!.head;
    const place = (api: TestApi, placement: object | null) =>
      api.call('PUT', '/tenants/acme', { match: '*', body: { ...tenant, placement } });

    test('a tenant runs on the workers with its labels, and wait=acked asks nobody else', async (t) => {
      const api = await open(t);
      const { runs } = await fleet(t, api.store, sites);
      const body = { tenant_id: 'acme', ...tenant, placement: { site: 'a' } };
      const made = await api.call('POST', '/tenants?wait=acked&timeout=120s', { body });
      assert.deepEqual([made.status, made.body.placement, made.body.moving], [201, { site: 'a' }, null], made.text);
      assert.deepEqual((await head(api)).placement, { any: [{ site: 'a' }] });
      await until(() => JSON.stringify(runs()) === '{"a1":1,"a2":1,"b1":0,"b2":0}');
      const status = await api.call('GET', '/tenants/acme/config/status');
      assert.deepEqual(
        status.body.workers.map((worker: { worker: string }) => worker.worker),
        ['a1', 'a2'],
      );
    });

    test('a tenant that moves runs at both places until the new one is ready, then only there', async (t) => {
      const api = await open(t);
      const { runs, workers } = await fleet(t, api.store, sites);
      await api.call('POST', '/tenants', { body: { tenant_id: 'acme', ...tenant, placement: { site: 'a' } } });
      // All of them have heard of it: none says later that it does not run the tenant.
      await until(() => JSON.stringify(runs()) === '{"a1":1,"a2":1,"b1":0,"b2":0}');
      const { version } = (await api.call('GET', '/tenants/acme')).body;
      for (const id of ['b1', 'b2']) workers.get(id)!.dead = true;
      const moved = await place(api, { site: 'b' });
      assert.equal(moved.status, 200, moved.text);
      assert.deepEqual(moved.body.moving.leaving, [{ site: 'a' }]);
      assert.equal(moved.body.version, version, 'no new release');
      assert.deepEqual((await head(api)).placement, { any: [{ site: 'b' }, { site: 'a' }] });
      await api.app.context.mover.turn();
      assert.ok((await head(api)).placement!.any.length === 2, 'the workers that it enters have said nothing yet');
      for (const id of ['b1', 'b2']) {
        workers.get(id)!.dead = false;
        await workers.get(id)!.lease.report(new Map([['acme', { applied: version }]]));
      }
      await api.app.context.mover.turn();
      assert.deepEqual((await head(api)).placement, { any: [{ site: 'b' }] });
      await until(() => JSON.stringify(runs()) === '{"a1":0,"a2":0,"b1":1,"b2":1}');
      assert.equal((await api.call('GET', '/tenants/acme')).body.moving, null);
      const events = await api.call('GET', '/tenants/acme/audit');
      const last = events.body.items.find((event: { action: string }) => event.action === 'tenant.moved');
      assert.equal(last.after.reason, '2 workers have it');
    });

    test('a worker that never answers is not waited for for ever, but a tenant is never left nowhere', async (t) => {
      let [now, ms] = [Date.now(), 0];
      const api = await open(t, { now: () => now });
      const mover = new Mover(api.app.context, () => ms);
      const { workers, runs } = await fleet(t, api.store, sites);
      await api.call('POST', '/tenants', { body: { tenant_id: 'acme', ...tenant, placement: { site: 'a' } } });
      workers.get('b2')!.dead = true;
      await place(api, { site: 'b' });
      await until(() => runs().b1 === 1);
      await mover.turn();
      now += 3_600_000;
      await mover.turn();
      assert.equal((await head(api)).placement!.any.length, 2, 'a clock that jumps is no hour');
      now -= 7_200_000;
      ms += 60_000;
      await mover.turn();
      assert.deepEqual((await head(api)).placement, { any: [{ site: 'b' }] });
      const events = await api.call('GET', '/tenants/acme/audit');
      const last = events.body.items.find((event: { action: string }) => event.action === 'tenant.moved');
      assert.match(last.after.reason, /1 of 2 workers have it; not waited for any longer: b2/);

      await place(api, { site: 'nowhere' });
      await mover.turn();
      ms += 600_000;
      await mover.turn();
      assert.deepEqual((await head(api)).placement, { any: [{ site: 'nowhere' }, { site: 'b' }] });
    });

    test('a tenant that moves while a release is rolled out is waited for with what each worker shall run', async (t) => {
      const api = await open(t);
      const { workers, runs } = await fleet(t, api.store, sites);
      await api.call('POST', '/tenants', { body: { tenant_id: 'acme', ...tenant, placement: { site: 'a' } } });
      await until(() => JSON.stringify(runs()) === '{"a1":1,"a2":1,"b1":0,"b2":0}');
      for (const id of ['b1', 'b2']) workers.get(id)!.dead = true;
      await place(api, { site: 'b' });
      await api.call('POST', '/tenants/acme/escapers?publish=hold', { body: { name: 'no', type: 'dummy_deny' } });
      const rollout = { labels: { site: 'b' }, bake_seconds: 600 };
      assert.equal((await api.call('POST', '/tenants/acme/rollouts', { body: rollout })).status, 201);
      for (const version of [1, 2]) {
        for (const id of ['b1', 'b2']) await workers.get(id)!.lease.report(new Map([['acme', { applied: version }]]));
        await api.app.context.mover.turn();
        const { placement, rollout } = await head(api);
        assert.deepEqual([placement!.any.length, rollout?.version], [version === 1 ? 2 : 1, 2]);
      }
    });

    test('wait=acked of a move waits for the workers that it enters, and says when there are none', async (t) => {
      const api = await open(t);
      const { runs, workers } = await fleet(t, api.store, sites);
      await api.call('POST', '/tenants', { body: { tenant_id: 'acme', ...tenant, placement: { site: 'a' } } });
      await until(() => JSON.stringify(runs()) === '{"a1":1,"a2":1,"b1":0,"b2":0}');
      const wait = (site: string, timeout: string) =>
        api.call('PUT', `/tenants/acme?wait=acked&timeout=${timeout}`, {
          match: '*',
          body: { ...tenant, placement: { site } },
        });
      for (const time of ['first', 'again']) {
        const nowhere = await wait('nowhere', '2s');
        assert.equal(nowhere.status, 504, `${time}: ${nowhere.text}`);
        assert.match(
          nowhere.body.detail,
          /no worker is alive that has the labels site=nowhere: the tenant stays where/,
        );
      }
      const status = (await api.call('GET', '/tenants/acme/config/status')).body;
      assert.deepEqual(status.moving.leaving, [{ site: 'a' }]);

      // Also while a release is held: what moves is what is served.
      await api.call('POST', '/tenants/acme/escapers?publish=hold', { body: { name: 'no', type: 'dummy_deny' } });
      workers.get('b2')!.dead = true;
      const silent = await until(async () => {
        const answer = await wait('b', '2s');
        assert.deepEqual([answer.status, answer.body.release], [504, 1], answer.text);
        // On a machine that is busy b1 may need its time, too.
        return /no answer from b2$/.test(answer.body.detail) ? answer : null;
      });
      assert.deepEqual([silent.body.summary.applied, silent.body.summary.workers], [1, 2]);
      await workers.get('b2')!.lease.report(new Map([['acme', { applied: 1 }]]));
      const arrived = await wait('b', '120s');
      assert.deepEqual([arrived.status, arrived.headers['arcus-release-state']], [200, 'acked'], arrived.text);
      await api.app.context.mover.turn();
      assert.equal((await api.call('GET', '/tenants/acme/config/status')).body.moving, null);
    });

    test('from some workers to all and back, and a change of mind on the way', async (t) => {
      const api = await open(t);
      const { runs } = await fleet(t, api.store, sites);
      await api.call('POST', '/tenants', { body: { tenant_id: 'acme', ...tenant } });
      await until(() => JSON.stringify(runs()) === '{"a1":1,"a2":1,"b1":1,"b2":1}');
      await place(api, { site: 'a' });
      assert.equal((await head(api)).placement, undefined, 'it leaves all, and is on all until then');
      const back = await place(api, { site: 'b' });
      assert.deepEqual(back.body.moving.leaving, [null, { site: 'a' }]);
      await until(async () => {
        await api.app.context.mover.turn();
        return (await head(api)).placement !== undefined;
      });
      assert.deepEqual((await head(api)).placement, { any: [{ site: 'b' }] });
      await until(() => JSON.stringify(runs()) === '{"a1":0,"a2":0,"b1":1,"b2":1}');
      const same = await place(api, { site: 'b' });
      assert.equal(same.body.moving, null);
      assert.equal((await place(api, {})).body.placement, null, 'no label asks for nothing');
    });
  });
}
