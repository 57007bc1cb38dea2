import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyConfig } from './config.ts';
import { describeChange, diffConfigs, diffTenants } from './diff.ts';

const config = (parts: object) => ({ ...emptyConfig(), ...parts }) as ReturnType<typeof emptyConfig>;
const group = (...users: object[]) => config({ user_groups: [{ name: 'staff', type: 'basic', static_users: users }] });

test('a diff names objects that came, went and changed, and the fields in them', () => {
  const before = config({
    escapers: [
      { name: 'a', type: 'direct_fixed', limits: { up: 1 } },
      { name: 'b', type: 'dummy_deny' },
    ],
  });
  const after = config({
    escapers: [
      { name: 'a', type: 'direct_fixed', limits: { up: 2, down: 3 } },
      { name: 'c', type: 'dummy_deny' },
    ],
  });
  const changes = diffConfigs(before, after);
  assert.deepEqual(changes, [
    {
      ...{ family: 'escapers', name: 'a', change: 'changed' },
      fields: [
        { pointer: '/limits/up', before: 1, after: 2 },
        { pointer: '/limits/down', after: 3 },
      ],
    },
    { family: 'escapers', name: 'b', change: 'removed', fields: [] },
    { family: 'escapers', name: 'c', change: 'added', fields: [] },
  ]);
  assert.deepEqual(changes.flatMap(describeChange), [
    '~ escapers/a',
    '    /limits/up: 1 → 2',
    '    /limits/down: 3 (new)',
    '- escapers/b',
    '+ escapers/c',
  ]);
  assert.deepEqual(diffConfigs(after, structuredClone(after)), []);
});

test('users go by their name, and a sealed secret is not shown to people', () => {
  const before = group({ name: 'alice', password_hash: 'sealed:v1:k:aaaa' }, { name: 'bob' });
  const after = group({ name: 'alice', password_hash: 'sealed:v1:k:bbbb' }, { name: 'carol' });
  const [change] = diffConfigs(before, after);
  assert.deepEqual(
    change!.fields.map((field) => field.pointer),
    ['/static_users/bob', '/static_users/alice/password_hash', '/static_users/carol'],
  );
  assert.doesNotMatch(describeChange(change!).join('\n'), /sealed/);
});

test('rules in another order are a difference', () => {
  const rules = (...names: string[]) =>
    config({ policies: [{ name: 'p', type: 'ip_filter', rules: names.map((name) => ({ name })) }] });
  const [change] = diffConfigs(rules('x', 'y'), rules('y', 'x'));
  assert.deepEqual(change!.fields, [{ pointer: '/rules', before: ['x', 'y'], after: ['y', 'x'] }]);
});

const empty = { servers: [], escapers: [], resolvers: [], user_groups: [], auditors: [], policies: [] };

test('the same configs in another order do not differ', () => {
  const a = {
    ...empty,
    escapers: [
      { name: 'a', type: 'x' },
      { name: 'b', type: 'x' },
    ],
  };
  const b = {
    ...empty,
    escapers: [
      { type: 'x', name: 'b' },
      { type: 'x', name: 'a' },
    ],
  };
  assert.deepEqual(diffConfigs(a, b), []);
});

test('an object that comes, goes or changes is told once', () => {
  const before = { ...empty, escapers: [{ name: 'gone' }, { name: 'kept', port: 1 }] };
  const after = { ...empty, escapers: [{ name: 'kept', port: 2 }, { name: 'new' }] };
  assert.deepEqual(diffConfigs(before, after), [
    { family: 'escapers', name: 'gone', change: 'removed', fields: [] },
    { family: 'escapers', name: 'kept', change: 'changed', fields: [{ pointer: '/port', before: 1, after: 2 }] },
    { family: 'escapers', name: 'new', change: 'added', fields: [] },
  ]);
});

test('users are told by their names, not by their places', () => {
  const group = (static_users: object[]) => ({ ...empty, user_groups: [{ name: 'staff', static_users }] });
  const before = group([
    { name: 'ann', blocked: false },
    { name: 'bob', blocked: false },
  ]);
  const after = group([{ name: 'bob', blocked: true }]);
  assert.deepEqual(diffConfigs(before, after)[0]!.fields, [
    { pointer: '/static_users/ann', before: { name: 'ann', blocked: false } },
    { pointer: '/static_users/bob/blocked', before: false, after: true },
  ]);
});

test('a field of one rule among several is told alone, a list that grew as a whole', () => {
  const rules = (list: object[]) => ({ ...empty, policies: [{ name: 'sites', rules: list }] });
  const one = rules([{ host: 'a' }, { host: 'b' }]);
  assert.deepEqual(diffConfigs(one, rules([{ host: 'a' }, { host: 'c' }]))[0]!.fields, [
    { pointer: '/rules/1/host', before: 'b', after: 'c' },
  ]);
  assert.equal(diffConfigs(one, rules([{ host: 'a' }]))[0]!.fields[0]!.pointer, '/rules');
});

test('a field that appears has no before, one that vanishes no after', () => {
  const a = { ...empty, servers: [{ name: 's', old: 1 }] };
  const b = { ...empty, servers: [{ name: 's', 'ne/w': 2 }] };
  assert.deepEqual(diffConfigs(a, b)[0]!.fields, [
    { pointer: '/old', before: 1 },
    { pointer: '/ne~1w', after: 2 },
  ]);
});

test('users of a group that comes or goes are named', () => {
  const none = config({});
  const staff = group({ name: 'alice', password_hash: 'sealed:v1:k:aaaa' }, { name: 'bob' });
  const lines = (a: typeof none, b: typeof none) => diffConfigs(a, b).flatMap(describeChange);
  assert.deepEqual(lines(none, staff), [
    '+ user_groups/staff',
    '    /static_users/alice: {"name":"alice","password_hash":"(secret)"} (new)',
    '    /static_users/bob: {"name":"bob"} (new)',
  ]);
  assert.deepEqual(lines(staff, none).at(-1), '    /static_users/bob: {"name":"bob"} (gone)');
});

test('the tenant’s own fields are compared, too', () => {
  const before = { tenant_id: 'acme', status: 'active', resource_limits: {} };
  const after = { ...before, status: 'suspended', resource_limits: { max_concurrent_connections: 5 } };
  assert.deepEqual(diffTenants(before, after).flatMap(describeChange), [
    '~ tenant/acme',
    '    /status: "active" → "suspended"',
    '    /resource_limits/max_concurrent_connections: 5 (new)',
  ]);
  assert.deepEqual(diffTenants(before, structuredClone(before)), []);
  assert.deepEqual(diffTenants(null, after).flatMap(describeChange), ['+ tenant/acme']);
});
