import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diffConfigs } from './diff.ts';

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
