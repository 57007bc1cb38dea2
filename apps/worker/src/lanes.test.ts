import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Gate, patiently } from './lanes.ts';

/** Tasks that end when they are told to. */
function tasks(gate: Gate, count: number) {
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  const done = Array.from({ length: count }, (_, i) =>
    gate.run(() => {
      begun.push(i);
      return new Promise<void>((end) => {
        ends[i] = end;
      });
    }),
  );
  const end = async (i: number) => {
    ends[i]!();
    await done[i];
    await turn();
  };
  return { begun, end };
}

describe('a gate', () => {
  it('lets so many tasks through at once, in order', async () => {
    const { begun, end } = tasks(new Gate(2), 4);
    await turn();
    assert.deepEqual(begun, [0, 1]);
    await end(1);
    assert.deepEqual(begun, [0, 1, 2]);
    await end(0);
    assert.deepEqual(begun, [0, 1, 2, 3]);
  });

  it('that begins narrower opens by one with each task that ends', async (t) => {
    // However long this takes: its time is not over.
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { begun, end } = tasks(new Gate(3, 1), 9);
    await turn();
    assert.deepEqual(begun, [0]);
    await end(0);
    assert.deepEqual(begun, [0, 1, 2]);
    await end(1);
    assert.deepEqual(begun, [0, 1, 2, 3, 4]);
    await end(2);
    assert.deepEqual(begun, [0, 1, 2, 3, 4, 5], 'it is as wide as it gets');
  });

  it('that begins narrower is not held up by a first task that never ends', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const gate = new Gate(3, 1);
    void gate.run(() => new Promise(() => {}));
    const others = Promise.all([gate.run(async () => {}), gate.run(async () => {})]);
    t.mock.timers.tick(100);
    await others;
  });

  it('leaves the place of a task that fails, and of one that takes too long, to the next', async () => {
    const gate = new Gate(1);
    await assert.rejects(gate.run(() => Promise.reject(new Error('no'))));
    let late = () => {};
    const slow = gate.run(() => new Promise<void>((end) => (late = end)), 1);
    await gate.run(async () => {});
    late();
    await slow;
    await gate.run(async () => {});
  });
});

it('patience has looks left when the time is over at once', async () => {
  let looks = 0;
  await patiently(() => ++looks === 20, 0);
  assert.equal(looks, 20);
  await patiently(() => ++looks > 1000, 0);
  assert.ok(looks < 1000, 'it ends');
});
