import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Blocked, circleOf } from './circle.ts';

/** Each line: who, what it wants, and which addresses of whom are in the way. */
function fleet(lines: Record<string, { wants: string[]; by: Record<string, string> }>) {
  const all = new Map<string, Blocked>();
  for (const [id, { wants, by }] of Object.entries(lines)) {
    const blockers = Object.entries(by).map(([tenant, address]) => ({ tenant, address }));
    all.set(id, { tenant: { id }, wants: new Set(wants), blockers });
  }
  return (first: string) =>
    circleOf(all.get(first)!, (id) => all.get(id) ?? null)
      ?.map((one) => one.tenant.id)
      .sort() ?? null;
}

describe('tenants that wait for each other', () => {
  it('are found from each of them, however many', () => {
    const circle = fleet({
      a: { wants: ['2'], by: { b: '2' } },
      b: { wants: ['3'], by: { c: '3' } },
      c: { wants: ['1'], by: { a: '1' } },
      other: { wants: ['1'], by: { a: '1' } },
    });
    for (const id of ['a', 'b', 'c']) assert.deepEqual(circle(id), ['a', 'b', 'c']);
  });

  it('are no circle when one of them keeps what another needs, or does not wait', () => {
    const keeps = fleet({ a: { wants: ['2'], by: { b: '2' } }, b: { wants: ['1', '2'], by: { a: '1' } } });
    assert.equal(keeps('a'), null);
    const runs = fleet({ a: { wants: ['2'], by: { b: '2' } } });
    assert.equal(runs('a'), null);
  });

  it('come with those who only make room, and whose own addresses are in the way of nobody', () => {
    const both = fleet({
      a: { wants: ['2', '4'], by: { b: '2', c: '4' } },
      b: { wants: ['1'], by: { a: '1' } },
      c: { wants: ['3'], by: { a: '3' } },
    });
    assert.deepEqual(both('c'), ['a', 'b', 'c']);
  });
});
