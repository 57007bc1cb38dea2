import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyConfig } from './config.ts';
import { describeChange, diffConfigs } from './diff.ts';

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
