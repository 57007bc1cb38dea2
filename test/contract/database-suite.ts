/** What the management service promises on every database. The file store stands in for the config store. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { smallConfig } from '@arcus/api/testing.ts';
import { type NewDatabase, nextPort, onDatabase } from './lib/database.ts';

export function databaseSuite(name: string, newDatabase: NewDatabase): void {
  const { open, tenant } = onDatabase(newDatabase);
  describe(`management service on ${name}`, () => {
    test('a tenant is made with its config, changed, listed and deleted; its head follows', async (t) => {
      const api = await open(t);
      const made = await tenant(api, 'acme', smallConfig(nextPort()));
      assert.equal(made.headers['arcus-release'], '1');
      assert.equal(made.headers['arcus-release-state'], 'published');
      assert.equal((await api.store.getHead('acme'))?.head.stable.version, 1);
      assert.equal((await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'x' } })).status, 409);

      const body = { tenant_name: 'Acme Inc', status: 'suspended', metadata: { plan: 'gold' } };
      assert.equal((await api.call('PUT', '/tenants/acme', { body })).status, 428);
      const put = await api.call('PUT', '/tenants/acme', { body, match: made.etag });
      assert.equal(put.status, 200, put.text);
      assert.equal(put.headers['arcus-release'], '2');
      assert.equal((await api.call('PUT', '/tenants/acme', { body, match: made.etag })).status, 412);
      const got = await api.call('GET', '/tenants/acme');
      assert.equal(got.etag, put.etag);
      assert.deepEqual([got.body.status, got.body.metadata, got.body.version], ['suspended', { plan: 'gold' }, 2]);

      await tenant(api, 'beta');
      const list = await api.call('GET', '/tenants?status=active');
      assert.deepEqual(
        list.body.items.map((item: { tenant_id: string }) => item.tenant_id),
        ['beta'],
      );

      assert.equal((await api.call('DELETE', '/tenants/acme')).status, 428);
      assert.equal((await api.call('DELETE', '/tenants/acme', { match: put.etag })).status, 204);
      assert.equal((await api.call('GET', '/tenants/acme')).status, 404);
      assert.equal((await api.store.getHead('acme'))?.head.deleted, true);
    });

    test('a tenant that is made again goes on counting releases: workers never see a version twice', async (t) => {
      const api = await open(t);
      await tenant(api, 'acme');
      await api.call('POST', '/tenants/acme/reload');
      assert.equal((await api.call('DELETE', '/tenants/acme', { match: '*' })).status, 204);
      const again = await tenant(api, 'acme');
      assert.equal(again.headers['arcus-release'], '3');
      assert.equal((await api.store.getHead('acme'))?.head.stable.version, 3);
    });

    test('objects of a family are made, read, replaced and deleted, each under its ETag', async (t) => {
      const api = await open(t);
      await tenant(api, 'acme', smallConfig(nextPort()));
      const url = '/tenants/acme/escapers';
      const made = await api.call('POST', url, { body: { name: 'no', type: 'dummy_deny' } });
      assert.equal(made.status, 201, made.text);
      assert.equal(made.headers.location, '/api/v1/tenants/acme/escapers/no');
      assert.equal((await api.call('POST', url, { body: { name: 'no', type: 'dummy_deny' } })).status, 409);
      const got = await api.call('GET', `${url}/no`);
      assert.deepEqual([got.status, got.etag], [200, made.etag]);
      const known = await api.call('GET', `${url}/no`, { headers: { 'if-none-match': got.etag } });
      assert.equal(known.status, 304);

      const body = { type: 'dummy_deny', enabled: false };
      assert.equal((await api.call('PUT', `${url}/no`, { body })).status, 428);
      assert.equal((await api.call('PUT', `${url}/no`, { body, match: '"999"' })).status, 412);
      const put = await api.call('PUT', `${url}/no`, { body, match: got.etag });
      assert.equal(put.status, 200, put.text);
      assert.equal(put.body.enabled, false);
      assert.notEqual(put.etag, got.etag);
      assert.equal((await api.call('PUT', `${url}/new`, { body: { type: 'dummy_deny' } })).status, 201);

      const listed = await api.call('GET', `${url}?type=dummy_deny`);
      assert.deepEqual(
        listed.body.items.map((item: { name: string }) => item.name),
        ['new', 'no'],
      );
      assert.equal((await api.call('DELETE', `${url}/no`, { match: got.etag })).status, 412);
      assert.equal((await api.call('DELETE', `${url}/no`, { match: put.etag })).status, 204);
      assert.equal((await api.call('GET', `${url}/no`)).status, 404);
      assert.equal((await api.call('DELETE', `${url}/no`, { match: '*' })).status, 404);
    });

    test('names that differ only in case are different objects and users', async (t) => {
      const api = await open(t);
      await tenant(api, 'acme', smallConfig(nextPort()));
      for (const name of ['Alpha', 'alpha']) {
        const made = await api.call('POST', '/tenants/acme/escapers', { body: { name, type: 'dummy_deny' } });
        assert.equal(made.status, 201, made.text);
        const user = { username: name, user_group: 'staff' };
        assert.equal((await api.call('POST', '/tenants/acme/users', { body: user })).status, 201);
      }
      assert.equal((await api.call('GET', '/tenants/acme/escapers/ALPHA')).status, 404);
      assert.equal((await api.call('GET', '/tenants/acme/users/ALPHA')).status, 404);
    });

    test('an invalid whole is refused with every fault, and nothing of it is stored', async (t) => {
      const api = await open(t);
      await tenant(api, 'acme', smallConfig(nextPort()));
      const before = await api.call('GET', '/tenants/acme/config');
      const config = {
        escapers: [
          { name: 'a', type: 'route_upstream', fallback_next: 'b' },
          { name: 'b', type: 'route_upstream', fallback_next: 'a' },
          { name: 'c', type: 'route_upstream', fallback_next: 'nobody' },
          { name: 'd', type: 'no_such_type' },
        ],
        policies: [{ name: 'net', type: 'ip_filter', rules: [{ network: '10.0.0.0/99', action: 'block' }], wrong: 1 }],
      };
      const put = await api.call('PUT', '/tenants/acme/config', { body: config, match: before.etag });
      assert.equal(put.status, 422);
      assert.match(String(put.headers['content-type']), /application\/problem\+json/);
      const pointers = put.body.errors.map((e: { pointer: string }) => e.pointer);
      for (const start of ['/escapers/1', '/escapers/2/fallback_next', '/escapers/3/type', '/policies/0']) {
        assert.ok(
          pointers.some((p: string) => p.startsWith(start)),
          `${start} is missing in ${pointers}`,
        );
      }
      const after = await api.call('GET', '/tenants/acme/config');
      assert.deepEqual([after.etag, after.body], [before.etag, before.body]);
      assert.equal((await api.call('GET', '/tenants/acme/releases')).body.items.length, 1);
    });

    test('faults of one object are relative to its body, faults elsewhere name the config', async (t) => {
      const api = await open(t);
      await tenant(api, 'acme', smallConfig(nextPort()));
      const dangling = await api.call('PUT', '/tenants/acme/escapers/r', {
        body: { type: 'route_upstream', fallback_next: 'nobody' },
      });
      assert.deepEqual(
        dangling.body.errors.map((e: { pointer: string }) => e.pointer),
        ['/fallback_next'],
      );
      const named = await api.call('DELETE', '/tenants/acme/escapers/out', { match: '*' });
      assert.equal(named.status, 422);
      assert.deepEqual(
        named.body.errors.map((e: { pointer: string }) => e.pointer),
        ['/config/servers/0/escaper'],
      );
      assert.equal((await api.call('GET', '/tenants/acme/escapers/out')).status, 200);
    });

    test('an address that another tenant listens on is refused without a word about that tenant', async (t) => {
      const api = await open(t);
      const taken = nextPort();
      await tenant(api, 'first', smallConfig(taken));
      for (const address of [`127.0.0.1:${taken}`, `0.0.0.0:${taken}`, `[::]:${taken}`]) {
        const config = smallConfig(taken);
        config.servers[0]!.listen.address = address;
        const made = await api.call('POST', '/tenants', { body: { tenant_id: 'second', tenant_name: 'x', config } });
        assert.equal(made.status, 422, address);
        assert.match(made.body.errors[0].pointer, /\/servers\/0\/listen/);
        assert.doesNotMatch(made.text, /first|main/);
      }
      await tenant(api, 'second', smallConfig(nextPort()));
      assert.equal((await api.call('DELETE', '/tenants/first', { match: '*' })).status, 204);
      await tenant(api, 'third', smallConfig(taken));
    });

    test('of tenants that reach for one address at the same moment exactly one gets it', async (t) => {
      const api = await open(t);
      const wanted = nextPort();
      const answers = await Promise.all(
        Array.from({ length: 8 }, (_, i) => {
          const config = smallConfig(wanted);
          if (i % 2) config.servers[0]!.listen.address = `0.0.0.0:${wanted}`;
          return api.call('POST', '/tenants', { body: { tenant_id: `t${i}`, tenant_name: 'x', config } });
        }),
      );
      assert.deepEqual(answers.map((a) => a.status).sort(), [201, ...Array(7).fill(422)]);
    });

    test('50 parallel writers on one tenant: none is lost, and the newest release is live', async (t) => {
      const api = await open(t);
      await tenant(api, 'acme', smallConfig(nextPort()));
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          api.call('POST', '/tenants/acme/escapers', { body: { name: `e${i}`, type: 'dummy_deny' } }),
        ),
      );
      assert.deepEqual([...new Set(answers.map((a) => a.status))], [201]);
      assert.equal((await api.call('GET', '/tenants/acme/escapers?limit=1000')).body.items.length, 51);
      const versions = answers.map((a) => Number(a.headers['arcus-release'])).sort((a, b) => a - b);
      assert.deepEqual(
        versions,
        Array.from({ length: 50 }, (_, i) => i + 2),
      );
      assert.equal((await api.store.getHead('acme'))?.head.stable.version, 51);
      const releases = await api.call('GET', '/tenants/acme/releases?limit=1000');
      const states = new Set(releases.body.items.map((r: { state: string }) => r.state));
      assert.ok(!states.has('pending'), [...states].join());
      assert.equal(releases.body.items[0].state, 'published');
    });

    test('users are made, changed, moved and deleted; no answer holds a credential', async (t) => {
      const api = await open(t);
      const config = smallConfig(nextPort());
      config.user_groups.push({ name: 'guests', type: 'basic', static_users: [] });
      await tenant(api, 'acme', config);
      const url = '/tenants/acme/users';
      const made = await api.call('POST', url, {
        body: { username: 'bob', user_group: 'staff', password: 'secret-1' },
      });
      assert.equal(made.status, 201, made.text);
      assert.equal(made.body.credential, 'argon2id');
      const imported = { username: 'eve', user_group: 'staff', token: { salt: 's', sha1: 'a'.repeat(40) } };
      assert.equal((await api.call('POST', url, { body: imported })).body.credential, 'sha1');
      assert.equal(
        (await api.call('POST', url, { body: { username: 'non', user_group: 'staff' } })).body.credential,
        'none',
      );
      assert.equal((await api.call('POST', url, { body: { username: 'bob', user_group: 'guests' } })).status, 409);

      const moved = await api.call('PUT', `${url}/bob`, {
        body: { user_group: 'guests', blocked: true },
        match: made.etag,
      });
      assert.equal(moved.status, 200, moved.text);
      assert.deepEqual(
        [moved.body.user_group, moved.body.credential, moved.body.blocked],
        ['guests', 'argon2id', true],
      );
      const got = await api.call('GET', `${url}/bob`);
      assert.deepEqual([got.etag, got.body], [moved.etag, moved.body]);
      const blocked = await api.call('GET', `${url}?blocked=true`);
      assert.deepEqual(
        blocked.body.items.map((u: { username: string }) => u.username),
        ['bob'],
      );
      assert.equal((await api.call('DELETE', `${url}/bob`, { match: made.etag })).status, 412);
      assert.equal((await api.call('DELETE', `${url}/bob`, { match: got.etag })).status, 204);
      assert.equal((await api.call('GET', `${url}/bob`)).status, 404);

      const wrong = await api.call('POST', url, { body: { username: 'a:b', user_group: 'nobody' } });
      assert.equal(wrong.body.errors[0].pointer, '/user_group');
      for (const path of [
        url,
        `${url}/eve`,
        '/tenants/acme/audit',
        '/tenants/acme/user-groups',
        '/tenants/acme/config',
      ]) {
        const { text } = await api.call('GET', path);
        assert.doesNotMatch(text, /secret-1|correct horse|argon2id\$|aaaaaaaaaa/, path);
      }
      const rows = JSON.stringify(
        [await api.db.client.user.findMany(), await api.db.client.auditEvent.findMany()],
        (_, v) => (typeof v === 'bigint' ? String(v) : v),
      );
      assert.doesNotMatch(rows, /secret-1|correct horse|\$argon2id|aaaaaaaaaa/);
    });

    test('hundreds of users imported, changed and removed at once read back the same from the database', async (t) => {
      const api = await open(t);
      const users = Array.from({ length: 620 }, (_, i) => ({
        name: `ünï "${i}" \\ user`,
        blocked: i % 2 === 0,
        token: { salt: `s${i}`, sha1: i.toString(16).padStart(40, '0') },
      }));
      const config = (list: object[]) => ({ user_groups: [{ name: 'staff', type: 'basic', static_users: list }] });
      const reread = async () => {
        const warm = await api.call('GET', '/tenants/acme/config');
        api.app.context.changes.states.drop('acme');
        const cold = await api.call('GET', '/tenants/acme/config');
        assert.deepEqual(cold.body, warm.body);
        return cold.body.user_groups[0].static_users as { name: string; blocked: boolean }[];
      };
      await tenant(api, 'acme', config(users));
      assert.equal((await reread()).length, 620);
      const first = await api.call('GET', `/tenants/acme/users/${encodeURIComponent(users[0]!.name)}`);
      assert.deepEqual([first.body.blocked, first.body.credential, first.etag], [true, 'sha1', '"1"']);
      const made = Date.parse(first.body.created_at);
      assert.ok(Math.abs(Date.now() - made) < 60_000, first.body.created_at);

      const changed = users.slice(0, 400).map((user) => ({ ...user, blocked: !user.blocked }));
      const put = await api.call('PUT', '/tenants/acme/config', { body: config(changed), match: '*' });
      assert.equal(put.status, 200, put.text);
      const after = await reread();
      assert.equal(after.length, 400);
      assert.equal(after.find((user) => user.name === users[0]!.name)?.blocked, false);
      const again = await api.call('GET', `/tenants/acme/users/${encodeURIComponent(users[0]!.name)}`);
      assert.deepEqual([again.etag, again.body.created_at], ['"2"', first.body.created_at]);
      assert.equal((await api.call('GET', '/tenants/acme/audit')).body.items[0].after['…'], '520 more objects');
    });

    test('a config that was pulled can be pushed back as it is, and makes no new release', async (t) => {
      const api = await open(t);
      await tenant(api, 'acme', smallConfig(nextPort()));
      const pulled = await api.call('GET', '/tenants/acme/config');
      assert.match(JSON.stringify(pulled.body.user_groups), /sealed:v1:/);
      const pushed = await api.call('PUT', '/tenants/acme/config', { body: pulled.body, match: pulled.etag });
      assert.equal(pushed.status, 200, pushed.text);
      assert.deepEqual([pushed.body.changed, pushed.body.version], [false, 1]);

      const other = await tenant(api, 'other');
      pulled.body.servers = [];
      const stolen = await api.call('PUT', '/tenants/other/config', { body: pulled.body, match: '*' });
      assert.equal(stolen.status, 422, 'what is sealed for one tenant opens for no other');
      assert.match(stolen.body.errors[0].pointer, /^\/user_groups\/0\/static_users\/0\/password_hash$/);
      assert.equal((await api.call('GET', '/tenants/other')).etag, other.etag);
    });

    test('the same password pushed again is the same release', async (t) => {
      const api = await open(t);
      const config = smallConfig(nextPort());
      await tenant(api, 'acme', config);
      const same = await api.call('PUT', '/tenants/acme/config', { body: config, match: '*' });
      assert.equal(same.body.changed, false, same.text);
      config.user_groups[0]!.static_users[0]!.password = 'another';
      assert.equal((await api.call('PUT', '/tenants/acme/config', { body: config, match: '*' })).body.changed, true);
    });

    test('pages of a list are stable while others write', async (t) => {
      const api = await open(t);
      const users = Array.from({ length: 25 }, (_, i) => ({ name: `u${String(i).padStart(2, '0')}` }));
      await tenant(api, 'acme', { user_groups: [{ name: 'staff', type: 'basic', static_users: users }] });
      const seen: string[] = [];
      let cursor = '';
      do {
        const got = await api.call('GET', `/tenants/acme/users?limit=10${cursor && `&cursor=${cursor}`}`);
        assert.equal(got.status, 200, got.text);
        seen.push(...got.body.items.map((u: { username: string }) => u.username));
        if (!cursor) {
          await api.call('DELETE', '/tenants/acme/users/u03', { match: '*' });
          await api.call('POST', '/tenants/acme/users', { body: { username: 'u00a', user_group: 'staff' } });
        }
        cursor = got.body.next_cursor ?? '';
      } while (cursor);
      assert.deepEqual(
        seen,
        users.map((u) => u.name),
      );
      assert.equal((await api.call('GET', '/tenants/acme/users?cursor=xx')).status, 400);
      assert.equal((await api.call('GET', '/tenants/acme/users?limit=1001')).status, 400);
    });

    test('each change leaves an audit event with before and after, and of secrets only that they are', async (t) => {
      const api = await open(t);
      await tenant(api, 'acme', smallConfig(nextPort()));
      await api.call('PUT', '/tenants/acme/escapers/out', {
        body: { type: 'proxy_http', proxy_addr: '127.0.0.1:3128', proxy_username: 'u', proxy_password: 'very secret' },
        match: '*',
        headers: { 'x-request-id': 'my-request' },
      });
      const { body } = await api.call('GET', '/tenants/acme/audit');
      const event = body.items[0];
      assert.deepEqual(
        [event.action, event.target, event.actor, event.request_id, event.version],
        ['escapers.put', 'escapers/out', 'first admin', 'my-request', 2],
      );
      assert.equal(event.before['escapers/out'].type, 'direct_fixed');
      assert.equal(event.after['escapers/out'].proxy_password, '[secret]');
    });

    test('a release keeps its document, and the database alone can tell it', async (t) => {
      const api = await open(t);
      const config = smallConfig(nextPort());
      await tenant(api, 'acme', config);
      await api.call('PUT', '/tenants/acme/config?message=emptied', { body: {}, match: '*' });
      const first = await api.call('GET', '/tenants/acme/releases/1');
      assert.equal(first.body.config.servers[0].name, 'main');
      const second = await api.call('GET', '/tenants/acme/releases/2');
      assert.deepEqual(
        [second.body.message, second.body.author, second.body.config.servers],
        ['emptied', 'first admin', []],
      );
      assert.equal((await api.call('GET', '/tenants/acme/releases/3')).status, 404);
    });

    test('a token of one tenant sees nothing of another, not even that it is there', async (t) => {
      const api = await open(t);
      await tenant(api, 'acme');
      await tenant(api, 'other');
      const made = await api.call('POST', '/tokens', { body: { name: 'ci', role: 'tenant', tenant_id: 'acme' } });
      assert.equal(made.status, 201, made.text);
      const { token } = made.body;
      assert.match(token, /^arcus_[A-Za-z0-9_-]{43}$/);
      assert.equal((await api.call('GET', '/tenants/acme', { token })).status, 200);
      const paths = [
        '',
        '/config',
        '/config/status',
        '/escapers',
        '/escapers/x',
        '/users',
        '/releases',
        '/metrics',
        '/audit',
      ];
      for (const path of paths) {
        const other = await api.call('GET', `/tenants/other${path}`, { token });
        const nobody = await api.call('GET', `/tenants/nobody${path}`, { token });
        assert.deepEqual([other.status, nobody.status], [404, 404], path);
        // Nothing differs but the name that was asked for.
        const told = { ...other.body, instance: '', detail: other.body.detail.replace('"other"', '"nobody"') };
        assert.deepEqual(told, { ...nobody.body, instance: '' });
      }
      const write = { body: { type: 'dummy_deny' }, token };
      assert.equal((await api.call('PUT', '/tenants/other/escapers/x', write)).status, 404);
      assert.equal((await api.call('PUT', '/tenants/acme/escapers/x', write)).status, 201);
      const list = await api.call('GET', '/tenants', { token });
      assert.deepEqual(
        list.body.items.map((item: { tenant_id: string }) => item.tenant_id),
        ['acme'],
      );
      for (const path of ['/workers', '/tokens', '/audit', '/metrics', '/config/global']) {
        assert.equal((await api.call('GET', path, { token })).status, 403, path);
      }
      assert.equal((await api.call('DELETE', '/tenants/acme', { token, match: '*' })).status, 403);
      await api.call('DELETE', '/tenants/acme', { match: '*' });
      assert.equal((await api.call('GET', '/tenants', { token })).status, 401, 'a tenant takes its tokens along');
    });

    test('the shared config is read and written like a tenant’s, and is no tenant', async (t) => {
      const api = await open(t);
      const got = await api.call('GET', '/config/global');
      assert.equal(got.status, 200);
      const before = await api.call('GET', '/config/global/status');
      assert.deepEqual([before.body.state, before.body.workers, before.body.summary.converged], ['none', [], true]);
      const body = { escapers: [{ name: 'no', type: 'dummy_deny' }] };
      assert.equal((await api.call('PUT', '/config/global', { body })).status, 428);
      const put = await api.call('PUT', '/config/global', { body, match: got.etag });
      assert.deepEqual([put.status, put.body.version], [200, 1]);
      assert.equal((await api.call('POST', '/config/reload')).body.version, 2);
      assert.equal((await api.store.getHead('_global'))?.head.stable.version, 2);
      assert.deepEqual((await api.call('GET', '/tenants')).body.items, []);
      assert.equal((await api.call('GET', '/tenants/_global')).status, 404);
      assert.equal((await api.call('DELETE', '/tenants/_global', { match: '*' })).status, 403);
    });

    test('a dry run checks everything and stores nothing', async (t) => {
      const api = await open(t);
      await tenant(api, 'acme');
      const yaml = 'escapers:\n  - name: no\n    type: dummy_deny\n';
      const headers = { 'content-type': 'application/yaml' };
      const dry = await api.call('PUT', '/tenants/acme/config?dry_run=true', { body: yaml, headers });
      assert.deepEqual([dry.status, dry.body.changed, dry.body.state], [200, true, 'dry_run'], dry.text);
      assert.deepEqual((await api.call('GET', '/tenants/acme/config')).body.escapers, []);
      const bad = await api.call('PUT', '/tenants/acme/config?dry_run=true', {
        body: 'escapers: [{name: x}]',
        headers,
      });
      assert.equal(bad.status, 422);
      const put = await api.call('PUT', '/tenants/acme/config', { body: yaml, headers, match: '*' });
      assert.equal(put.body.changed, true, put.text);
    });

    test('an empty document wipes nothing, live or in a draft', async (t) => {
      const api = await open(t);
      await tenant(api, 'acme', smallConfig(nextPort()));
      await api.call('POST', '/tenants/acme/drafts', { body: { name: 'd' } });
      const json = { 'content-type': 'application/json' };
      const yaml = { 'content-type': 'application/yaml' };
      for (const url of [
        '/tenants/acme/config',
        '/tenants/acme/config?dry_run=true',
        '/tenants/acme/drafts/d/config',
      ]) {
        for (const [body, headers] of [
          [undefined, {}],
          ['', json],
          ['null', json],
          ['', yaml],
          ['# nothing', yaml],
          ['~', yaml],
        ] as [string | undefined, Record<string, string>][]) {
          const answer = await api.call('PUT', url, { body, headers, match: '*' });
          assert.equal(answer.status, 422, `${url} ${body}: ${answer.text}`);
          assert.match(answer.body.detail, /empty/);
        }
      }
      assert.equal((await api.call('GET', '/tenants/acme/config')).body.servers.length, 1);
      assert.equal((await api.call('GET', '/tenants/acme/drafts/d')).body.changes, 0);
      const made = await api.call('POST', '/tenants', { body: { tenant_id: 'b', tenant_name: 'b', config: null } });
      assert.equal(made.status, 422, made.text);
      const wiped = await api.call('PUT', '/tenants/acme/config', { body: {}, match: '*' });
      assert.deepEqual([wiped.status, wiped.body.changed], [200, true], 'said so, it is');
    });
  });
}
