import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { run } from '../slices.ts';
import { type Twice, UserIndex } from './index.ts';
import { StaticUser } from './user.ts';

const user = (name: string, slow = false): StaticUser =>
  StaticUser.parse({ name, ...(slow && { password_hash: 'sealed:v1:x' }) });

function indexOf(list: readonly StaticUser[], before?: UserIndex) {
  const twice: Twice[] = [];
  let looked = 0;
  const index = run(
    UserIndex.of(
      list,
      before,
      (found) => twice.push(found),
      (from, end) => {
        looked = end - from;
      },
    ),
  );
  return { index, twice, looked };
}

const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
const edit = fc.record({
  at: fc.nat(20),
  remove: fc.nat(3),
  add: fc.array(fc.constantFrom(...names), { maxLength: 3 }),
});

describe('users by name', () => {
  it('are the same after many releases as if there had been one', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.constantFrom(...names)), fc.array(edit, { maxLength: 12 }), (first, edits) => {
        let list = first.map((name) => user(name));
        let known = indexOf(list).index;
        for (const { at, remove, add } of edits) {
          const next = list.toSpliced(at, remove, ...add.map((name, i) => user(name, i === 0)));
          const [grown, alone] = [indexOf(next, known), indexOf(next)];
          assert.deepEqual(grown.twice, alone.twice);
          for (const name of names) assert.equal(grown.index.get(name), alone.index.get(name), name);
          assert.equal(grown.index.slow, alone.index.slow);
          // A release with faults is refused: the one before stays.
          if (grown.twice.length === 0) [list, known] = [next, grown.index];
        }
      }),
    );
  });

  it('of a release that adds one user to many are those of before and one', () => {
    let list = Array.from({ length: 20_000 }, (_, i) => user(`user-${i}`));
    let { index } = indexOf(list);
    // Whoever reads a user that was there before does what a release of 100,000 users cannot afford.
    let reads = 0;
    const get = (on: StaticUser, key: string | symbol): unknown => {
      reads++;
      return Reflect.get(on, key);
    };
    const watched = (one: StaticUser) => new Proxy(one, { get });
    list = list.map(watched);
    index = indexOf(list, index).index;
    for (let i = 0; i < 50; i++) {
      list = list.toSpliced(i * 300, 0, user(`new-${i}`));
      reads = 0;
      const next = indexOf(list, index);
      assert.equal(reads, 0);
      assert.equal(next.looked, 1);
      index = next.index;
    }
    assert.equal(index.get('new-49')?.name, 'new-49');
    assert.equal(index.get('user-19999')?.name, 'user-19999');
    assert.equal(index.get('nobody'), undefined);
  });

  it('that are there twice are told, each with the first place', () => {
    const list = ['a', 'b', 'a', 'c', 'b', 'a'].map((name) => user(name));
    const twice = [
      { index: 2, first: 0 },
      { index: 4, first: 1 },
      { index: 5, first: 0 },
    ];
    assert.deepEqual(indexOf(list).twice, twice);
    assert.deepEqual(indexOf(list, indexOf(list.slice(0, 2)).index).twice, twice);
  });
});
