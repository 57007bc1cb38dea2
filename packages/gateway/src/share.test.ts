import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnyObject, parseEntries } from './config.ts';
import { share } from './share.ts';
import { run } from './slices.ts';

const copy = <T>(value: T): T => structuredClone(value);

describe('what two releases have in common', () => {
  const before = { name: 'a', rules: [{ host: 'x' }, { host: 'y' }, { host: 'z' }], pool: { size: 1 }, off: undefined };

  test('is the same object when nothing differs', () => {
    assert.equal(share(before, copy(before)), before);
    assert.equal(share('a', 'a'), 'a');
  });

  test('is taken over around what differs, which stays as it is', () => {
    const next = copy(before);
    next.rules[1]!.host = 'other';
    next.pool.size = 2;
    const wanted = copy(next);
    const shared = share(before, next) as typeof before;
    assert.deepEqual(shared, wanted);
    assert.notEqual(shared, before);
    assert.equal(shared.rules[0], before.rules[0]);
    assert.equal(shared.rules[2], before.rules[2]);
    assert.notEqual(shared.rules[1], before.rules[1]);
  });

  test('is found in lists that grew or shrank', () => {
    for (const change of [
      (list: unknown[]) => list.unshift({ host: 'new' }),
      (list: unknown[]) => list.push({ host: 'new' }),
      (list: unknown[]) => list.splice(1, 1),
      (list: unknown[]) => list.splice(0),
      (list: unknown[]) => list.splice(1, 0, 7, null, [1]),
    ]) {
      const next = copy(before.rules) as unknown[];
      change(next);
      const wanted = copy(next);
      const shared = share(before.rules, next) as unknown[];
      assert.deepEqual(shared, wanted);
      assert.equal(
        before.rules.filter((rule) => shared.includes(rule)).length,
        wanted.filter((item) => before.rules.some((rule) => rule.host === (item as { host?: string } | null)?.host))
          .length,
      );
    }
  });

  test('never hides a difference of kind', () => {
    const pairs: [unknown, unknown][] = [
      [[], {}],
      [{}, []],
      [null, {}],
      [{}, null],
      [{ a: undefined }, {}],
      [{}, { a: undefined }],
      [
        { a: 1, b: 2 },
        { a: 1, c: 2 },
      ],
      [[1], [1, 2]],
      [[1, 2], [1]],
      ['1', 1],
      [{ length: 1 }, [1]],
    ];
    for (const [old, next] of pairs) assert.deepEqual(share(old, copy(next)), next);
  });
});

describe('parsing what a release has in common with the one before', () => {
  const policy = (count: number, last: string) => ({
    policies: [
      {
        name: 'sites',
        type: 'url_filter',
        rules: Array.from({ length: count }, (_, i) => ({
          exact_match: i === count - 1 ? last : `s${i}.example`,
          action: 'block',
        })),
      },
    ],
  });
  type Parsed = { readonly rules: readonly object[] };
  const parse = (config: object, before?: Parsed): Parsed => {
    const { entries, faults } = run(parseEntries(config, () => before as unknown as AnyObject | undefined));
    assert.deepEqual(faults, []);
    return entries[0]!.object as unknown as Parsed;
  };

  test('keeps the very same objects', () => {
    const before = parse(policy(100, 'old.example'));
    assert.equal(parse(policy(100, 'old.example'), before), before);
    const next = parse(policy(100, 'new.example'), before);
    assert.deepEqual(next, parse(policy(100, 'new.example')));
    for (let i = 0; i < 99; i++) assert.equal(next.rules[i], before.rules[i]);
  });

  test('never changes what serves: a list that gets long was empty', () => {
    const before = parse(policy(0, ''));
    assert.equal(parse(policy(600, 'new.example'), before).rules.length, 600);
    assert.equal(before.rules.length, 0);
  });
});
