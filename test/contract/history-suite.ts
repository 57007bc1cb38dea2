/** What the history of releases promises on every database: sizes, documents, diffs, rollback, and what is let go. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { type Answer, smallConfig, type TestApi, type TestApiOptions, testApi } from '@arcus/api/testing.ts';
import { join } from '@arcus/control/sections.ts';
import type { ConfigStore } from '@arcus/control/store.ts';
import { until } from '@arcus/testkit/until.ts';
import type { NewDatabase } from './lib/database.ts';

const MINUTE = 60_000;
const DAY = 1440 * MINUTE;
let port = 24_000;

export function historySuite(database: string, newDatabase: NewDatabase): void {
  const open = async (t: TestContext, options: TestApiOptions = {}): Promise<TestApi> => {
    const url = await newDatabase();
    const api = await testApi({ ...options, ...(url === undefined ? {} : { database: url }) });
    t.after(() => api.close());
    await tenant(api, 'acme');
    return api;
  };
  const tenant = async (api: TestApi, tenant_id: string) => {
    const body = { tenant_id, tenant_name: 'x', config: smallConfig(++port) };
    ok(await api.call('POST', '/tenants', { body }), 201);
  };
  const ok = (answer: Answer, status = 200): Answer => {
    assert.equal(answer.status, status, answer.text);
    return answer;
  };
  const base = '/tenants/acme';
  const deny = { type: 'dummy_deny' };
  /** A release with one more escaper, whose name makes its blob one that no other release has. */
  const release = async (api: TestApi, name: string, where = base) =>
    ok(
      await api
        .call('PUT', `${where}/escapers/${name}`, { body: deny, match: '*' })
        .then((a) => (a.status === 412 ? api.call('PUT', `${where}/escapers/${name}`, { body: deny }) : a)),
      201,
    );
  const versions = async (api: TestApi, where = base): Promise<number[]> =>
    (await api.call('GET', `${where}/releases?limit=1000`)).body.items.map((r: { version: number }) => r.version);
  /** What a worker would load of a version, by the store alone. */
  const load = async (store: ConfigStore, version: number, tenant = 'acme') => {
    const manifest = await store.getManifest(tenant, version);
    assert.ok(manifest, `manifest ${version}`);
    return join(manifest, (names) => store.getBlobs(names));
  };

  describe(`history on ${database}`, () => {
    test('a release says how much it changed, and its document can be had', async (t) => {
      const api = await open(t);
      const config = (await api.call('GET', `${base}/config`)).body;
      config.escapers[0].enabled = true;
      config.escapers.push({ name: 'no', ...deny }, { name: 'never', ...deny });
      config.user_groups[0].static_users = [{ name: 'bob' }];
      ok(await api.call('PUT', `${base}/config?message=more`, { body: config, match: '*' }));
      const [second, first] = (await api.call('GET', `${base}/releases`)).body.items;
      assert.deepEqual([second.added, second.changed, second.removed, second.message], [3, 0, 1, 'more']);
      assert.deepEqual([first.added, first.changed, first.removed, first.restores], [5, 0, 0, null]);
      ok(await api.call('PUT', base, { body: { tenant_name: 'New' }, match: '*' }));
      const [third] = (await api.call('GET', `${base}/releases`)).body.items;
      assert.deepEqual([third.added, third.changed, third.removed], [0, 1, 0]);
      const document = ok(await api.call('GET', `${base}/releases/2/document`));
      assert.deepEqual(document.body.tenant.tenant_name, 'x');
      assert.deepEqual(document.body, await load(api.store, 2));
      assert.equal(document.etag, `"${second.checksum}"`);
      assert.equal((await api.call('GET', `${base}/releases/9/document`)).status, 404);
    });

    test('any two releases are compared by object and field, both ways, for programs and people', async (t) => {
      const api = await open(t);
      await release(api, 'no');
      ok(await api.call('PUT', `${base}/users/alice`, { body: { blocked: true }, match: '*' }));
      const whole = ok(await api.call('GET', `${base}/releases/1/diff/3`)).body;
      assert.deepEqual([whole.from, whole.to], ['1', '3']);
      assert.deepEqual(whole.changes, [
        { family: 'escapers', name: 'no', change: 'added', fields: [] },
        {
          ...{ family: 'user_groups', name: 'staff', change: 'changed' },
          fields: [{ pointer: '/static_users/alice/blocked', before: false, after: true }],
        },
      ]);
      const back = await api.call('GET', `${base}/releases/3/diff/1`, { headers: { accept: 'text/plain' } });
      assert.equal(back.text, '- escapers/no\n~ user_groups/staff\n    /static_users/alice/blocked: true → false\n');
      const last = ok(await api.call('GET', `${base}/releases/3/diff`)).body;
      assert.deepEqual([last.from, last.changes.length], ['2', 1]);
      const against = ok(await api.call('GET', `${base}/releases/3/diff?against=1`)).body;
      assert.deepEqual(against, whole);
      assert.equal((await api.call('GET', `${base}/releases/1/diff/99`)).status, 404);
    });

    test('a diff shows the tenant’s own fields and the users of a group that came, and the first release all it has', async (t) => {
      const api = await open(t);
      ok(await api.call('PUT', base, { body: { tenant_name: 'x', status: 'suspended' }, match: '*' }));
      const group = { name: 'guests', type: 'basic', static_users: [{ name: 'bob' }] };
      ok(await api.call('POST', `${base}/user-groups`, { body: group }), 201);
      const diff = async (version: number) =>
        ok(await api.call('GET', `${base}/releases/${version}/diff`, { headers: { accept: 'text/plain' } })).text;
      assert.equal(await diff(2), '~ tenant/acme\n    /status: "active" → "suspended"\n');
      assert.match(await diff(3), /^\+ user_groups\/guests\n {4}\/static_users\/bob: \{.*\} \(new\)\n$/);
      const first = ok(await api.call('GET', `${base}/releases/1/diff`)).body;
      assert.deepEqual([first.from, first.to], ['0', '1']);
      assert.deepEqual(
        first.changes.map(({ family, name, change }: Record<string, string>) => `${change} ${family}/${name}`),
        [
          'added tenant/acme',
          ...['added servers/main', 'added escapers/out', 'added resolvers/system', 'added user_groups/staff'],
        ],
      );
      assert.deepEqual(
        first.changes.at(-1).fields.map((field: { pointer: string }) => field.pointer),
        ['/static_users/alice'],
      );
      ok(await api.call('DELETE', base, { match: '*' }), 204);
      await tenant(api, 'acme');
      const again = ok(await api.call('GET', `${base}/releases/4/diff`)).body;
      assert.deepEqual([again.from, again.changes[0].change], ['0', 'added'], 'of one that was made again, too');
    });

    test('a rollback is a new release with the old config; the store gets a manifest and a head, no blob', async (t) => {
      const api = await open(t);
      const before = (await api.call('GET', `${base}/config`)).body;
      await release(api, 'no');
      ok(await api.call('DELETE', `${base}/users/alice`, { match: '*' }), 204);
      const put: string[] = [];
      const putBlob = api.store.putBlob.bind(api.store);
      t.mock.method(api.store, 'putBlob', (name: string, body: Uint8Array) => {
        put.push(name);
        return putBlob(name, body);
      });
      const rolled = ok(await api.call('POST', `${base}/rollback`, { body: { version: 1, message: 'bad idea' } }));
      assert.deepEqual([rolled.body.version, rolled.body.state, rolled.body.changed], [4, 'published', true]);
      assert.deepEqual(put, []);
      assert.deepEqual((await api.call('GET', `${base}/config`)).body, before);
      assert.deepEqual(await load(api.store, 4), await load(api.store, 1));
      assert.equal((await api.store.getHead('acme'))?.head.stable.version, 4);
      const [release4, , , release1] = (await api.call('GET', `${base}/releases`)).body.items;
      assert.deepEqual(
        [release4.message, release4.restores, release4.added, release4.removed, release4.checksum],
        ['bad idea', 1, 1, 1, release1.checksum],
      );
      assert.equal((await api.call('GET', `${base}/users/alice`)).status, 200);
      assert.equal((await api.call('GET', `${base}/escapers/no`)).status, 404);
      const [event] = (await api.call('GET', `${base}/audit`)).body.items;
      assert.deepEqual([event.action, event.target, event.version], ['config.rollback', 'releases/1', 4]);
      assert.equal((await api.call('POST', `${base}/rollback`, { body: { version: 77 } })).status, 404);
    });

    test('a rollback whose transaction runs twice owns what it names, also what was let go in between', async (t) => {
      const api = await open(t);
      ok(await api.call('PUT', `${base}/config`, { body: {}, match: '*' }));
      const blobsOf = async (version: number) =>
        (await api.store.getManifest('acme', version))!.sections.flatMap((section) => section.blobs);
      const kept = await blobsOf(2);
      const write = api.db.write.bind(api.db);
      let attempts = 0;
      t.mock.method(api.db, 'write', (work: Parameters<typeof write>[0]) =>
        write(async (tx) => {
          const given = { tenant_id: 'acme', sha256: { notIn: kept } };
          if (++attempts === 2) await tx.blobOwner.deleteMany({ where: given });
          const done = await work(tx);
          if (attempts === 1) throw Object.assign(new Error('write conflict'), { code: 'P2034' });
          return done;
        }),
      );
      ok(await api.call('POST', `${base}/rollback`, { body: { version: 1 } }));
      assert.ok(attempts >= 2);
      const owned = await api.db.client.blobOwner.findMany({ where: { tenant_id: 'acme' } });
      const names = new Set([...kept, ...(await blobsOf(3))]);
      assert.deepEqual(owned.map((row) => row.sha256).sort(), [...names].sort());
    });

    test('a rollback does not lift a suspension, and is refused when the old config has faults today', async (t) => {
      const api = await open(t);
      const [server] = (await api.call('GET', `${base}/servers`)).body.items;
      ok(await api.call('DELETE', `${base}/servers/main`, { match: '*' }), 204);
      ok(await api.call('PUT', base, { body: { tenant_name: 'x', status: 'suspended' }, match: '*' }));
      ok(await api.call('POST', `${base}/rollback`, { body: { version: 2 } }));
      assert.equal((await api.call('GET', base)).body.status, 'suspended');
      const config = smallConfig(Number(server.listen.address.split(':')[1]));
      ok(await api.call('POST', '/tenants', { body: { tenant_id: 'other', tenant_name: 'x', config } }), 201);
      const refused = await api.call('POST', `${base}/rollback`, { body: { version: 1 } });
      assert.deepEqual([refused.status, refused.body.errors[0].code], [422, 'listen_taken'], refused.text);
    });

    test('releases beyond the count go, in the database and in the store, with the blobs that only they had', async (t) => {
      let now = Date.now();
      const api = await open(t, { now: () => now, retention: { kept: 3, days: 365 } });
      await tenant(api, 'twin');
      for (const i of [2, 3, 4, 5, 6]) {
        await release(api, `e${i}`);
        now += MINUTE;
      }
      const blobs = await api.db.client.blob.count();
      const { retention } = api.app.context;
      assert.deepEqual(await retention.sweep(), { releases: 0, blobs: 0 }, 'all were live a moment ago');
      now += 10 * MINUTE;
      const swept = await retention.sweep();
      assert.equal(swept.releases, 3);
      assert.equal(swept.blobs, 2, 'what the other tenant has, too, stays');
      assert.deepEqual(await versions(api), [6, 5, 4]);
      assert.equal(await api.db.client.blob.count(), blobs - swept.blobs);
      for (const version of [1, 2, 3]) {
        assert.equal(await api.store.getManifest('acme', version), null);
        assert.equal((await api.call('GET', `${base}/releases/${version}`)).status, 404);
        assert.equal((await api.call('POST', `${base}/rollback`, { body: { version } })).status, 404);
      }
      for (const version of [4, 5, 6]) {
        assert.deepEqual(
          ok(await api.call('GET', `${base}/releases/${version}/document`)).body,
          await load(api.store, version),
        );
      }
      await load(api.store, 1, 'twin');
      const names = (await api.db.client.blob.findMany({ select: { sha256: true } })).map((row) => row.sha256);
      assert.deepEqual(await api.store.missingBlobs(names), []);
      assert.deepEqual(await retention.sweep(), { releases: 0, blobs: 0 });
      ok(await api.call('POST', `${base}/rollback`, { body: { version: 4 } }));
    });

    test('a rollout is kept as long as its release', async (t) => {
      let now = Date.now();
      const api = await open(t, { now: () => now, retention: { kept: 1, days: 365 } });
      ok(await api.call('PUT', `${base}/escapers/e2?publish=hold`, { body: deny }), 201);
      ok(await api.call('POST', `${base}/rollouts`, { body: {} }), 201);
      ok(await api.call('POST', `${base}/rollouts/current/promote`));
      now += 11 * MINUTE;
      await api.app.context.retention.sweep();
      assert.equal((await api.call('GET', `${base}/rollouts`)).body.items.length, 1);
      await release(api, 'e3');
      now += 11 * MINUTE;
      await api.app.context.retention.sweep();
      assert.deepEqual((await api.call('GET', `${base}/rollouts`)).body.items, []);
      assert.equal(await api.db.client.rolloutEvent.count(), 0);
    });

    test('a release goes by age only after another took its place that long ago', async (t) => {
      let now = Date.now();
      const api = await open(t, { now: () => now, retention: { kept: 100, days: 30 } });
      now += 400 * DAY;
      await release(api, 'e2');
      assert.equal((await api.app.context.retention.sweep()).releases, 0, 'it was live until a moment ago');
      now += 31 * DAY;
      assert.equal((await api.app.context.retention.sweep()).releases, 1);
      now += 400 * DAY;
      assert.equal((await api.app.context.retention.sweep()).releases, 0, 'what is live stays however old');
      assert.deepEqual(await versions(api), [2]);
    });

    test('a clock that jumps lets nothing go that is kept, nor leaves a hole in the history', async (t) => {
      let now = Date.now();
      const api = await open(t, { now: () => now, retention: { kept: 2, days: 365 } });
      const next = async (name: string) => {
        await release(api, name);
        now += MINUTE;
      };
      now += MINUTE;
      for (const name of ['e2', 'e3']) await next(name);
      // Release 4 is made an hour ahead; 5 is what 3 was.
      now += 60 * MINUTE;
      await next('e4');
      now -= 61 * MINUTE;
      ok(await api.call('DELETE', `${base}/escapers/e4`, { match: '*' }), 204);
      now += MINUTE;
      for (const name of ['e6', 'e7', 'e8']) await next(name);
      /** All that is listed is there, and without a gap. */
      const whole = async () => {
        const all = await versions(api);
        assert.deepEqual(
          all,
          all.map((_, i) => 8 - i),
        );
        for (const version of all) {
          const { body } = ok(await api.call('GET', `${base}/releases/${version}/document`));
          assert.deepEqual(body, await load(api.store, version));
        }
        return all.length;
      };
      for (let minutes = 0; minutes < 20; minutes += 4) {
        await api.app.context.retention.sweep();
        await whole();
        now += 4 * MINUTE;
      }
      assert.equal(await whole(), 2);
    });

    test('a release that was replaced while the clock was wrong is kept as long as one cannot tell', async (t) => {
      let now = Date.now();
      const api = await open(t, { now: () => now, retention: { kept: 1, days: 365 } });
      await release(api, 'e2');
      now += 20 * MINUTE;
      await release(api, 'e3');
      now -= 60 * MINUTE;
      assert.deepEqual(await api.app.context.retention.sweep(), { releases: 0, blobs: 0 });
      now += 70 * MINUTE;
      assert.equal((await api.app.context.retention.sweep()).releases, 2);
    });

    test('a worker that loads slowly finds all of its release, however many come meanwhile', async (t) => {
      let now = Date.now();
      const api = await open(t, { now: () => now, retention: { kept: 1, days: 365 } });
      await release(api, 'slow');
      const head = (await api.store.getHead('acme'))!.head;
      const manifest = (await api.store.getManifest('acme', head.stable.version))!;
      let asked = 0;
      const document = await join(manifest, async (names) => {
        asked++;
        // Between its two steps the tenant gets ten more releases, and everything old is looked for.
        for (let i = 0; i < 10; i++) await release(api, `more-${i}`);
        now += 9 * MINUTE;
        await api.app.context.retention.sweep();
        return api.store.getBlobs(names);
      });
      assert.equal(asked, 1);
      assert.ok(document);
      now += 2 * MINUTE;
      assert.equal((await api.app.context.retention.sweep()).releases, 11);
      await assert.rejects(load(api.store, head.stable.version));
      await load(api.store, 12);
    });

    test('what a head in the store names stays, although newer releases wait to be published', async (t) => {
      let now = Date.now();
      const api = await open(t, { now: () => now, retention: { kept: 1, days: 365 } });
      t.mock.method(api.store, 'putHead', () => Promise.reject(new Error('not now')));
      for (const name of ['a', 'b', 'c']) await release(api, name);
      now += 20 * MINUTE;
      assert.equal((await api.app.context.retention.sweep()).releases, 0);
      await load(api.store, 1);
      t.mock.restoreAll();
      await api.app.context.publisher.publish('acme');
      assert.equal((await api.app.context.retention.sweep()).releases, 3);
      await load(api.store, 4);
    });

    test('a blob that comes back while it is being collected is there for the release that brought it', async (t) => {
      let now = Date.now();
      const api = await open(t, { now: () => now, retention: { kept: 1, days: 365 } });
      for (let round = 0; round < 12; round++) {
        // `same` has the same bytes each round: it is let go, and brought again while the collector is at it.
        await release(api, 'same');
        ok(await api.call('DELETE', `${base}/escapers/same`, { match: '*' }), 204);
        now += 11 * MINUTE;
        await Promise.all([
          api.app.context.retention.sweep(),
          release(api, 'same').then(() => api.call('DELETE', `${base}/escapers/same`, { match: '*' })),
        ]);
        const [newest] = await versions(api);
        for (const version of [newest!, newest! - 1]) await load(api.store, version);
      }
      const names = (await api.db.client.blob.findMany({ select: { sha256: true } })).map((row) => row.sha256);
      assert.deepEqual(await api.store.missingBlobs(names), []);
    });

    test('two tenants share a blob: it stays until both let it go', async (t) => {
      let now = Date.now();
      const api = await open(t, { now: () => now, retention: { kept: 1, days: 365 } });
      await tenant(api, 'twin');
      for (const where of [base, '/tenants/twin']) await release(api, 'shared', where);
      ok(await api.call('DELETE', `${base}/escapers/shared`, { match: '*' }), 204);
      now += 11 * MINUTE;
      await api.app.context.retention.sweep();
      await load(api.store, 2, 'twin');
      await load(api.store, 3);
    });

    test('a deleted tenant’s manifests and blobs leave the store, and another’s stay', async (t) => {
      let now = Date.now();
      const api = await open(t, { now: () => now });
      await tenant(api, 'twin');
      await release(api, 'e2');
      ok(await api.call('DELETE', base, { match: '*' }), 204);
      now += 11 * MINUTE;
      assert.ok((await api.app.context.retention.sweep()).blobs > 0);
      for (const version of [1, 2]) assert.equal(await api.store.getManifest('acme', version), null);
      await load(api.store, 1, 'twin');
      await tenant(api, 'acme');
      now += 11 * MINUTE;
      await api.app.context.retention.sweep();
      await load(api.store, 3);
    });

    test('old releases go by themselves while the service runs', async (t) => {
      let now = Date.now();
      const api = await open(t, { now: () => now, retention: { kept: 1, days: 365 } });
      await release(api, 'e2');
      now += 11 * MINUTE;
      api.app.context.retention.start(20);
      await until(async () => (await versions(api)).length === 1);
    });
  });
}
