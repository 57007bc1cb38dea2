/** What drafts promise on every database. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { lockDraft } from '@arcus/api/features/drafts/rows.ts';
import { Moved } from '@arcus/api/features/releases/lock.ts';
import { type Answer, smallConfig, type TestApi, type TestApiOptions, testApi } from '@arcus/api/testing.ts';
import type { NewDatabase } from './lib/database.ts';

const DAY = 24 * 3600 * 1000;
let port = 22_000;

export function draftsSuite(database: string, newDatabase: NewDatabase): void {
  const open = async (t: TestContext, options: TestApiOptions = {}): Promise<TestApi> => {
    const url = await newDatabase();
    const api = await testApi({ ...options, ...(url === undefined ? {} : { database: url }) });
    t.after(() => api.close());
    const config = smallConfig(++port);
    const made = await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'Acme', config } });
    assert.equal(made.status, 201, made.text);
    return api;
  };
  const base = '/tenants/acme';
  const draft = async (api: TestApi, name = 'next') => {
    const made = await api.call('POST', `${base}/drafts`, { body: { name, message: 'for friday' } });
    assert.equal(made.status, 201, made.text);
    return `${base}/drafts/${name}`;
  };
  const ok = (answer: Answer, status = 200): Answer => {
    assert.equal(answer.status, status, answer.text);
    return answer;
  };
  const pointers = (answer: Answer) => answer.body.errors.map((e: { pointer: string }) => e.pointer).sort();
  const deny = { type: 'dummy_deny' };

  describe(`drafts on ${database}`, () => {
    test('a draft is made, listed, shown and thrown away, and leaves no trace but its audit events', async (t) => {
      const api = await open(t);
      const made = await api.call('POST', `${base}/drafts`, { body: { name: 'next', message: 'for friday' } });
      assert.deepEqual([made.status, made.headers.location], [201, '/api/v1/tenants/acme/drafts/next']);
      assert.equal((await api.call('POST', `${base}/drafts`, { body: { name: 'next' } })).status, 409);
      ok(await api.call('POST', `${base}/drafts`, { body: { name: 'other' } }), 201);
      const list = await api.call('GET', `${base}/drafts?limit=1`);
      assert.deepEqual([list.body.items[0].name, list.body.items[0].changes], ['next', 0]);
      const rest = await api.call('GET', `${base}/drafts?limit=1&cursor=${list.body.next_cursor}`);
      assert.deepEqual([rest.body.items[0].name, rest.body.next_cursor], ['other', null]);
      ok(await api.call('PUT', `${base}/drafts/next/escapers/no`, { body: deny }), 201);
      const got = ok(await api.call('GET', `${base}/drafts/next`));
      assert.deepEqual(
        [got.body.changes, got.body.message, got.body.base_version, got.body.objects],
        [1, 'for friday', 1, [{ family: 'escapers', name: 'no', change: 'put' }]],
      );
      assert.equal((await api.call('DELETE', `${base}/drafts/next`)).status, 428);
      assert.equal((await api.call('DELETE', `${base}/drafts/next`, { match: made.etag })).status, 412);
      ok(await api.call('DELETE', `${base}/drafts/next`, { match: got.etag }), 204);
      assert.equal((await api.call('GET', `${base}/drafts/next`)).status, 404);
      assert.equal((await api.call('GET', `${base}/drafts/next/escapers`)).status, 404);
      assert.equal((await api.call('GET', '/tenants/nobody/drafts')).status, 404);
      const events = (await api.call('GET', `${base}/audit`)).body.items.map((e: { action: string }) => e.action);
      assert.deepEqual(events.slice(0, 4), ['draft.discard', 'draft.escapers.put', 'draft.create', 'draft.create']);
      assert.equal((await api.call('GET', `${base}/releases`)).body.items.length, 1);
      assert.equal(await api.db.client.draftChange.count(), 0);
    });

    test('objects and users are edited in a draft by the same routes, and nothing of it is live before apply', async (t) => {
      const api = await open(t);
      const url = await draft(api);
      const live = await api.call('GET', `${base}/config`);
      const made = ok(await api.call('POST', `${url}/escapers`, { body: { name: 'no', ...deny } }), 201);
      assert.equal(made.headers.location, '/api/v1/tenants/acme/drafts/next/escapers/no');
      assert.equal((await api.call('POST', `${url}/escapers`, { body: { name: 'out', ...deny } })).status, 409);
      const got = ok(await api.call('GET', `${url}/escapers/no`));
      assert.deepEqual([got.etag, got.body], [made.etag, made.body]);
      const known = await api.call('GET', `${url}/escapers/no`, { headers: { 'if-none-match': got.etag } });
      assert.equal(known.status, 304);
      const off = { ...deny, enabled: false };
      assert.equal((await api.call('PUT', `${url}/escapers/no`, { body: off })).status, 428);
      const put = ok(await api.call('PUT', `${url}/escapers/no`, { body: off, match: got.etag }));
      assert.equal((await api.call('PUT', `${url}/escapers/no`, { body: off, match: got.etag })).status, 412);
      assert.notEqual(put.etag, got.etag);
      // What the draft does not change has the tag that it has outside.
      const outside = await api.call('GET', `${base}/escapers/out`);
      assert.equal((await api.call('GET', `${url}/escapers/out`)).etag, outside.etag);
      const names = (await api.call('GET', `${url}/escapers`)).body.items.map((o: { name: string }) => o.name);
      assert.deepEqual(names, ['no', 'out']);

      const bob = { username: 'bob', user_group: 'staff', password: 'secret-1' };
      const user = ok(await api.call('POST', `${url}/users`, { body: bob }), 201);
      assert.equal(user.body.credential, 'argon2id');
      const blocked = ok(await api.call('PUT', `${url}/users/bob`, { body: { blocked: true }, match: user.etag }));
      assert.deepEqual([blocked.body.blocked, blocked.body.credential], [true, 'argon2id']);
      ok(await api.call('DELETE', `${url}/users/alice`, { match: '*' }), 204);
      const users = (await api.call('GET', `${url}/users`)).body.items.map((u: { username: string }) => u.username);
      assert.deepEqual(users, ['bob']);
      assert.equal((await api.call('GET', `${url}/users/alice`)).status, 404);
      ok(await api.call('DELETE', `${url}/escapers/no`, { match: put.etag }), 204);
      assert.equal((await api.call('GET', url)).body.changes, 2, 'what is as it is live is no change');

      const rows = JSON.stringify(await api.db.client.draftChange.findMany());
      assert.doesNotMatch(rows, /secret-1|\$argon2id/);
      const untouched = await api.call('GET', `${base}/config`);
      assert.deepEqual([untouched.etag, untouched.body], [live.etag, live.body]);
      assert.equal((await api.store.getHead('acme'))?.head.stable.version, 1);
    });

    test('apply makes one release of everything, under the draft’s message, and the draft is gone', async (t) => {
      const api = await open(t);
      const url = await draft(api);
      ok(await api.call('PUT', `${url}/escapers/no`, { body: deny }), 201);
      ok(await api.call('POST', `${url}/users`, { body: { username: 'bob', user_group: 'staff' } }), 201);
      ok(await api.call('DELETE', `${url}/users/alice`, { match: '*' }), 204);
      const valid = ok(await api.call('POST', `${url}/validate`));
      assert.deepEqual(valid.body, { valid: true, changed: true, waits_for: null });
      const applied = ok(await api.call('POST', `${url}/apply`));
      assert.deepEqual([applied.body.version, applied.body.state, applied.body.left], [2, 'published', 0]);
      assert.equal((await api.call('GET', url)).status, 404);
      const config = (await api.call('GET', `${base}/config`)).body;
      assert.equal(config.escapers.length, 2);
      assert.deepEqual(
        config.user_groups[0].static_users.map((u: { name: string }) => u.name),
        ['bob'],
      );
      const [release] = (await api.call('GET', `${base}/releases`)).body.items;
      assert.deepEqual(
        [release.message, release.author, release.added, release.changed, release.removed],
        ['next: for friday', 'first admin', 2, 0, 1],
      );
      const [event] = (await api.call('GET', `${base}/audit`)).body.items;
      assert.deepEqual([event.action, event.version], ['draft.apply', 2]);
    });

    test('scopes apply some families only; the rest stays in the draft', async (t) => {
      const api = await open(t);
      const url = await draft(api);
      ok(await api.call('PUT', `${url}/escapers/no`, { body: deny }), 201);
      ok(await api.call('POST', `${url}/users`, { body: { username: 'bob', user_group: 'staff' } }), 201);
      assert.equal((await api.call('POST', `${url}/apply`, { body: { scopes: ['nothing'] } })).status, 422);
      const users = ok(await api.call('POST', `${url}/apply`, { body: { scopes: ['users'], message: 'hire bob' } }));
      assert.deepEqual([users.body.version, users.body.left], [2, 1]);
      assert.equal((await api.call('GET', `${base}/escapers/no`)).status, 404);
      assert.equal((await api.call('GET', `${base}/users/bob`)).status, 200);
      const rest = ok(await api.call('POST', `${url}/apply`));
      assert.deepEqual([rest.body.version, rest.body.left], [3, 0]);
      assert.equal((await api.call('GET', `${base}/escapers/no`)).status, 200);
      const messages = (await api.call('GET', `${base}/releases`)).body.items.map(
        (r: { message: string }) => r.message,
      );
      assert.deepEqual(messages.slice(0, 2), ['next: for friday', 'hire bob']);
    });

    test('a scope that tears a user from its group is refused as that: no rebase would help', async (t) => {
      const api = await open(t);
      const url = await draft(api);
      ok(await api.call('POST', `${url}/user-groups`, { body: { name: 'new', type: 'basic', static_users: [] } }), 201);
      ok(await api.call('POST', `${url}/users`, { body: { username: 'bob', user_group: 'new' } }), 201);
      for (const action of ['validate', 'apply']) {
        const refused = await api.call('POST', `${url}/${action}`, { body: { scopes: ['users'] } });
        assert.deepEqual([refused.status, pointers(refused)], [422, ['/scopes']], refused.text);
        assert.match(refused.body.detail, /the scope lacks user_groups: .* the group of users\/bob/);
      }
      ok(await api.call('DELETE', `${url}/servers/main`, { match: '*' }), 204);
      ok(await api.call('DELETE', `${url}/user-groups/staff`, { match: '*' }), 204);
      const scopes = ['servers', 'user_groups'];
      const refused = await api.call('POST', `${url}/apply`, { body: { scopes } });
      assert.deepEqual([refused.status, pointers(refused)], [422, ['/scopes']], refused.text);
      assert.match(refused.body.detail, /the scope lacks users: .* the group of users\/alice/);
      ok(await api.call('POST', `${url}/apply`, { body: { scopes: [...scopes, 'users'] } }));
    });

    test('validate says what a valid draft has to wait for, and a diff can be against what is held', async (t) => {
      const api = await open(t);
      const url = await draft(api);
      ok(await api.call('PUT', `${url}/escapers/no`, { body: deny }), 201);
      ok(await api.call('PUT', `${base}/escapers/held?publish=hold`, { body: deny }), 201);
      const valid = ok(await api.call('POST', `${url}/validate`)).body;
      assert.deepEqual([valid.valid, valid.changed], [true, true]);
      assert.match(valid.waits_for, /release 2 is held, and 1 is served/);
      const refused = await api.call('POST', `${url}/apply`);
      assert.deepEqual([refused.status, refused.body.detail], [409, valid.waits_for]);
      const diff = async (query: string) => {
        const { from, changes } = ok(await api.call('GET', `${url}/diff${query}`)).body;
        return [from, ...changes.map((change: { name: string }) => change.name)];
      };
      assert.deepEqual(await diff(''), ['1', 'held', 'no']);
      assert.deepEqual(await diff('?against=stable'), ['1', 'held', 'no']);
      assert.deepEqual(await diff('?against=latest'), ['2', 'no']);
      ok(await api.call('POST', `${url}/apply?publish=now`));
    });

    test('a draft may be wrong as a whole meanwhile; validate and apply tell every fault and store nothing', async (t) => {
      const api = await open(t);
      const url = await draft(api);
      const wrong = await api.call('PUT', `${url}/escapers/x`, { body: { type: 'proxy_http', nonsense: 1 } });
      assert.equal(wrong.status, 422, 'an object must be right by itself');
      assert.ok(pointers(wrong).includes('/nonsense'), wrong.text);
      const route = (next: string) => ({ type: 'route_upstream', fallback_next: next });
      ok(await api.call('PUT', `${url}/escapers/a`, { body: route('nobody') }), 201);
      ok(await api.call('PUT', `${url}/escapers/b`, { body: route('noone') }), 201);
      ok(await api.call('DELETE', `${url}/escapers/out`, { match: '*' }), 204);
      for (const action of ['validate', 'apply']) {
        const refused = await api.call('POST', `${url}/${action}`);
        assert.equal(refused.status, 422, action);
        assert.deepEqual(pointers(refused), [
          '/escapers/0/fallback_next',
          '/escapers/1/fallback_next',
          '/servers/0/escaper',
        ]);
      }
      assert.equal((await api.call('GET', url)).body.changes, 3);
      assert.equal((await api.call('GET', `${base}/releases`)).body.items.length, 1);
    });

    test('a diff tells by object and field what apply would change, as JSON and for people', async (t) => {
      const api = await open(t);
      const url = await draft(api);
      assert.deepEqual((await api.call('GET', `${url}/diff`)).body.changes, []);
      ok(await api.call('PUT', `${url}/escapers/no`, { body: deny }), 201);
      ok(await api.call('PUT', `${url}/users/alice`, { body: { blocked: true }, match: '*' }));
      const { body } = ok(await api.call('GET', `${url}/diff`));
      assert.deepEqual(body, {
        ...{ from: '1', to: 'draft:next' },
        changes: [
          { family: 'escapers', name: 'no', change: 'added', fields: [] },
          {
            ...{ family: 'user_groups', name: 'staff', change: 'changed' },
            fields: [{ pointer: '/static_users/alice/blocked', before: false, after: true }],
          },
        ],
      });
      const text = await api.call('GET', `${url}/diff`, { headers: { accept: 'text/plain' } });
      assert.match(String(text.headers['content-type']), /^text\/plain/);
      assert.equal(text.text, '+ escapers/no\n~ user_groups/staff\n    /static_users/alice/blocked: false → true\n');
      ok(await api.call('PUT', `${base}/escapers/more`, { body: deny }), 201);
      const names = async (query: string) =>
        (await api.call('GET', `${url}/diff${query}`)).body.changes.map((c: { name: string }) => c.name);
      assert.deepEqual(await names(''), ['no', 'staff'], 'what was made outside is in the draft too');
      assert.deepEqual(await names('?against=1'), ['more', 'no', 'staff']);
      assert.equal((await api.call('GET', `${url}/diff?against=99`)).status, 404);
    });

    test('a draft whose base moved is applied when it touches other objects', async (t) => {
      const api = await open(t);
      const url = await draft(api);
      ok(await api.call('PUT', `${url}/users/alice`, { body: { blocked: true }, match: '*' }));
      ok(await api.call('PUT', `${url}/escapers/no`, { body: deny }), 201);
      ok(await api.call('PUT', `${base}/escapers/live`, { body: deny }), 201);
      ok(await api.call('POST', `${base}/users`, { body: { username: 'bob', user_group: 'staff' } }), 201);
      ok(await api.call('POST', `${url}/apply`));
      const config = (await api.call('GET', `${base}/config`)).body;
      assert.deepEqual(
        config.escapers.map((o: { name: string }) => o.name),
        ['live', 'no', 'out'],
      );
      assert.deepEqual(
        config.user_groups[0].static_users.map((u: { name: string; blocked: boolean }) => [u.name, u.blocked]),
        [
          ['alice', true],
          ['bob', false],
        ],
      );
    });

    test('what both changed is refused with the conflicting pointers, until a rebase settles it', async (t) => {
      const api = await open(t);
      const url = await draft(api);
      const out = { type: 'direct_fixed', resolver: 'system' };
      ok(await api.call('PUT', `${url}/escapers/out`, { body: deny, match: '*' }));
      ok(await api.call('PUT', `${url}/escapers/new`, { body: deny }), 201);
      ok(await api.call('PUT', `${url}/users/alice`, { body: { blocked: true }, match: '*' }));
      ok(
        await api.call('PUT', `${base}/escapers/out`, {
          body: { ...out, enabled: true, bind_ip: '127.0.0.1' },
          match: '*',
        }),
      );
      ok(await api.call('PUT', `${base}/escapers/new`, { body: out }), 201);
      ok(await api.call('DELETE', `${base}/users/alice`, { match: '*' }), 204);
      const expected = ['/escapers/new', '/escapers/out', '/users/alice'];
      for (const action of ['validate', 'apply', 'rebase']) {
        const refused = await api.call('POST', `${url}/${action}`, { body: {} });
        assert.deepEqual([refused.status, pointers(refused)], [409, expected], refused.text);
        assert.equal(refused.body.errors[0].code, 'conflict');
      }
      assert.equal((await api.call('GET', url)).body.conflicts.length, 3);
      // A part of it that nobody else touched may still go.
      const rebased = ok(await api.call('POST', `${url}/rebase`, { body: { prefer: 'draft' } }));
      assert.deepEqual([rebased.body.conflicts, rebased.body.base_version, rebased.body.changes], [[], 4, 3]);
      ok(await api.call('POST', `${url}/apply`));
      const config = (await api.call('GET', `${base}/config`)).body;
      assert.deepEqual(
        config.escapers.map((o: { type: string }) => o.type),
        ['dummy_deny', 'dummy_deny'],
      );
      assert.equal(config.user_groups[0].static_users[0].blocked, true);
    });

    test('a rebase that prefers what is live keeps the rest of the draft', async (t) => {
      const api = await open(t);
      const url = await draft(api);
      ok(await api.call('PUT', `${url}/escapers/a`, { body: deny }), 201);
      ok(await api.call('PUT', `${url}/escapers/b`, { body: deny }), 201);
      ok(await api.call('PUT', `${url}/escapers/same`, { body: deny }), 201);
      ok(await api.call('PUT', `${base}/escapers/a`, { body: { ...deny, enabled: false } }), 201);
      ok(await api.call('PUT', `${base}/escapers/same`, { body: deny }), 201);
      const rebased = ok(await api.call('POST', `${url}/rebase`, { body: { prefer: 'live' } }));
      assert.deepEqual(rebased.body.objects, [{ family: 'escapers', name: 'b', change: 'put' }]);
      ok(await api.call('POST', `${url}/apply`));
      assert.equal((await api.call('GET', `${base}/escapers/a`)).body.enabled, false);
      assert.equal((await api.call('GET', `${base}/escapers/b`)).status, 200);
    });

    test('a group that a draft deletes does not take along a user that was made meanwhile', async (t) => {
      const api = await open(t);
      const url = await draft(api);
      ok(await api.call('DELETE', `${url}/servers/main`, { match: '*' }), 204);
      ok(await api.call('DELETE', `${url}/user-groups/staff`, { match: '*' }), 204);
      ok(await api.call('POST', `${base}/users`, { body: { username: 'bob', user_group: 'staff' } }), 201);
      const refused = await api.call('POST', `${url}/apply`);
      assert.deepEqual([refused.status, pointers(refused)], [409, ['/users/bob']]);
      ok(await api.call('POST', `${url}/rebase`, { body: { prefer: 'draft' } }));
      ok(await api.call('POST', `${url}/apply`));
      assert.deepEqual((await api.call('GET', `${base}/users`)).body.items, []);
    });

    test('a whole config is written into a draft and applied as it was meant', async (t) => {
      const api = await open(t);
      const url = await draft(api);
      const pulled = ok(await api.call('GET', `${url}/config`));
      pulled.body.escapers.push({ name: 'no', ...deny });
      pulled.body.user_groups.push({
        name: 'guests',
        type: 'basic',
        static_users: [{ name: 'gast', password: 'x y z' }],
      });
      assert.equal((await api.call('PUT', `${url}/config`, { body: pulled.body })).status, 428);
      const twice = { ...pulled.body, escapers: [...pulled.body.escapers, { name: 'no', ...deny }] };
      const refused = await api.call('PUT', `${url}/config`, { body: twice, match: pulled.etag });
      assert.deepEqual([refused.status, refused.body.errors[0].code], [422, 'duplicate_name']);
      const put = ok(await api.call('PUT', `${url}/config`, { body: pulled.body, match: pulled.etag }));
      assert.deepEqual(put.body, { tenant_id: 'acme', draft: 'next', changes: 3 });
      assert.equal((await api.call('PUT', `${url}/config`, { body: pulled.body, match: pulled.etag })).status, 412);
      const shown = ok(await api.call('GET', `${url}/config`));
      assert.equal(shown.etag, put.etag);
      ok(await api.call('POST', `${url}/apply`));
      assert.deepEqual((await api.call('GET', `${base}/config`)).body, shown.body);
    });

    test('parallel writers of one draft lose nothing', async (t) => {
      const api = await open(t);
      const url = await draft(api);
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, i) => api.call('PUT', `${url}/escapers/e${i}`, { body: deny })),
      );
      assert.deepEqual([...new Set(answers.map((a) => a.status))], [201]);
      assert.equal((await api.call('GET', url)).body.changes, 20);
      const [applied, other] = await Promise.all([api.call('POST', `${url}/apply`), api.call('POST', `${url}/apply`)]);
      assert.deepEqual([applied.status, other.status].sort(), [200, 404], 'it is applied once');
      assert.equal((await api.call('GET', `${base}/releases`)).body.items.length, 2);
    });

    test('a draft that nobody writes to for 30 days is gone', async (t) => {
      let now = Date.now();
      const api = await open(t, { now: () => now });
      const url = await draft(api);
      const other = await draft(api, 'busy');
      now += 29 * DAY;
      ok(await api.call('PUT', `${other}/escapers/no`, { body: deny }), 201);
      now += 2 * DAY;
      assert.equal((await api.call('GET', url)).status, 404);
      assert.equal((await api.call('PUT', `${url}/escapers/no`, { body: deny })).status, 404);
      assert.deepEqual(
        (await api.call('GET', `${base}/drafts`)).body.items.map((d: { name: string }) => d.name),
        ['busy'],
      );
      await api.app.context.drafts.expire();
      assert.equal(await api.db.client.draft.count(), 1);
      await draft(api);
    });

    test('to apply a part of a draft is to write to it: the rest stays for another 30 days', async (t) => {
      let now = Date.now();
      const api = await open(t, { now: () => now });
      const url = await draft(api);
      ok(await api.call('PUT', `${url}/escapers/no`, { body: deny }), 201);
      ok(await api.call('POST', `${url}/users`, { body: { username: 'bob', user_group: 'staff' } }), 201);
      now += 29 * DAY;
      ok(await api.call('POST', `${url}/apply`, { body: { scopes: ['users'] } }));
      now += 29 * DAY;
      assert.equal(ok(await api.call('GET', url)).body.changes, 1);
    });

    test('what was read of a draft is never written over another one of its name', async (t) => {
      let now = Date.now();
      const api = await open(t, { now: () => now });
      const url = await draft(api);
      const seen = (await api.db.client.draft.findFirst())!;
      ok(await api.call('DELETE', url, { match: '*' }), 204);
      now += 1;
      await draft(api);
      await assert.rejects(
        api.db.write((tx) => lockDraft(api.db, tx, seen)),
        Moved,
      );
      const again = (await api.db.client.draft.findFirst())!;
      await api.db.write((tx) => lockDraft(api.db, tx, again));
    });

    test('a draft belongs to its tenant: a token of another sees and does nothing', async (t) => {
      const api = await open(t);
      const url = await draft(api);
      ok(await api.call('POST', '/tenants', { body: { tenant_id: 'other', tenant_name: 'x' } }), 201);
      const made = await api.call('POST', '/tokens', { body: { name: 'ci', role: 'tenant', tenant_id: 'other' } });
      const { token } = made.body;
      for (const [method, path] of [
        ['GET', ''],
        ['GET', '/config'],
        ['GET', '/diff'],
        ['POST', '/apply'],
        ['DELETE', ''],
      ]) {
        assert.equal((await api.call(method!, `${url}${path}`, { token })).status, 404, `${method} ${path}`);
      }
      const viewer = await api.call('POST', '/tokens', { body: { name: 'v', role: 'viewer', tenant_id: 'acme' } });
      assert.equal((await api.call('POST', `${url}/apply`, { token: viewer.body.token })).status, 403);
      assert.equal((await api.call('POST', `${url}/validate`, { token: viewer.body.token })).status, 200);
      ok(await api.call('DELETE', base, { match: '*' }), 204);
      assert.equal(await api.db.client.draft.count(), 0, 'a tenant takes its drafts along');
    });
  });
}
