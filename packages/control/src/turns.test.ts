import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { slices } from './turns.ts';

/** Time passes by work only: a machine that stands still between two lines uses up nobody's slice. */
let now = 1;
beforeEach(() => {
  mock.method(performance, 'now', () => now);
});

/** Holds the event loop. */
function work(ms: number): void {
  now += ms;
}

test('what several loops do in one turn of the event loop counts together', async () => {
  await turn();
  const [one, other] = [slices(50), slices(50)];
  assert.equal(one(), undefined);
  work(60);
  const wait = other();
  assert.ok(wait, 'the other one did nothing yet, and has to wait all the same');
  await wait;
  assert.equal(one(), undefined, 'a new turn has begun');
});

test('those that wait go on one after another, a turn each', async () => {
  await turn();
  const breathe = slices(5);
  let turns = 0;
  let counting = true;
  const count = () => {
    turns++;
    if (counting) setImmediate(count);
  };
  setImmediate(count);
  breathe();
  work(6);
  const seen: number[] = [];
  const loop = async () => {
    await breathe();
    seen.push(turns);
    work(6);
  };
  await Promise.all([loop(), loop(), loop()]);
  counting = false;
  assert.equal(seen.length, 3);
  assert.equal(new Set(seen).size, 3, `${seen}`);
});
