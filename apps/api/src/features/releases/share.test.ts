import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type AnyObject, type Config, emptyConfig } from '@arcus/gateway/config.ts';
import { run } from '@arcus/gateway/slices.ts';
import fc from 'fast-check';
import { auditConfig } from '../audit/record.ts';
import { byName, type StaticUser } from './document.ts';
import { rowChanges } from './rows.ts';
import { diffList, share, sharing } from './share.ts';

const names = Array.from({ length: 12 }, (_, i) => String.fromCharCode(97 + i));
const users = fc.uniqueArray(
  fc.record({ name: fc.constantFrom(...names), blocked: fc.boolean() }, { noNullPrototype: true }),
  {
    selector: ({ name }) => name,
  },
);

const group = (static_users: readonly StaticUser[]) =>
  ({ name: 'staff', type: 'basic', enabled: true, auth_cache_seconds: 60, static_users }) as unknown as AnyObject;
const policy = (rules: readonly object[]) =>
  ({ name: 'sites', type: 'url_filter', enabled: true, rules }) as unknown as AnyObject;
const config = (given: { [F in keyof Config]?: readonly AnyObject[] }) => ({ ...emptyConfig(), ...given }) as Config;
const many = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ name: `user-${i}`, blocked: i % 2 === 0 })).sort(byName);
const copy = <T>(value: T): T => structuredClone(value);

describe('two versions of a config', () => {
  it('share all that is equal, in canonical order, whatever differs', () => {
    fc.assert(
      fc.property(users, users, (first, second) => {
        const old = share(emptyConfig(), config({ user_groups: [group(first)] }));
        const next = share(old, config({ user_groups: [group(copy(second))] }));
        const [before, after] = [old, next].map(
          (one) => (one.user_groups[0] as unknown as { static_users: StaticUser[] }).static_users,
        );
        assert.deepEqual(after, [...second].sort(byName));
        for (const user of after!) {
          const twin = before!.find((one) => one.name === user.name && one.blocked === user.blocked);
          if (twin) assert.equal(user, twin, user.name);
        }
        const { put, removed } = diffList(before!, after!);
        const expected = after!.filter((user) => !before!.includes(user));
        assert.deepEqual(
          [put.map((one) => one.after), removed.length],
          [expected, before!.filter((user) => !after!.some(({ name }) => name === user.name)).length],
        );
        assert.equal(share(next, copy(next)), next, 'the same again is the same object');
      }),
    );
  });

  it('of a long list are the same objects up to and behind what differs', () => {
    const rules = Array.from({ length: 3000 }, (_, i) => ({ exact_match: `s${i}.example`, action: 'block' }));
    const old = config({ policies: [policy(rules)] });
    const next = share(
      old,
      config({ policies: [policy(copy(rules).with(2000, { exact_match: 'x', action: 'allow' }))] }),
    );
    const list = (next.policies[0] as unknown as { rules: object[] }).rules;
    assert.deepEqual(
      list.flatMap((rule, i) => (rule === rules[i] ? [] : [i])),
      [2000],
    );
    const { before, after } = auditConfig(old, next, rowChanges(old, next)) as Record<string, Record<string, any>>;
    assert.deepEqual(before!['policies/sites'].rules, ['… 2000 items', rules[2000], '… 999 items']);
    assert.deepEqual(after!['policies/sites'].rules[1], { exact_match: 'x', action: 'allow' });
  });

  it('that have nothing in common are compared in small steps', () => {
    const next = config({ user_groups: [group(many(20_000).reverse())] });
    const steps = sharing(emptyConfig(), next);
    let count = 0;
    for (let step = steps.next(); !step.done; step = steps.next()) count++;
    assert.ok(count > 50, `${count} steps`);
    assert.deepEqual((run(sharing(emptyConfig(), next)).user_groups[0] as any).static_users, many(20_000));
  });
});
