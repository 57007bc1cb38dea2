import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RolloutRow } from './store.ts';
import { Watches } from './watch.ts';

const at = (ms: number) => new Date(Date.UTC(2026, 0, 1) + ms);
/** Baking since 0, for 60 s after the counters have settled, as the driver left it at `seen`. */
const baking = (seen: number) =>
  ({
    ...{ rollout_id: 'r-1', step: 0, phase: 'baking', step_at: at(0), bake_seconds: 60, bake_until: at(61_500) },
    ...{ baseline: {}, lease_until: at(seen + 5_000) },
  }) as unknown as RolloutRow;

test('a bake is over when it was watched for its time, whatever the machine’s clock does meanwhile', () => {
  let ms = 7;
  const watches = new Watches(() => ms);
  assert.equal(watches.of(baking(0), at(0).getTime()).left, 61_500);
  ms += 30_000;
  const ahead = watches.of(baking(0), at(3_630_000).getTime());
  assert.deepEqual([ahead.left, ahead.until], [31_500, at(3_661_500)], 'and people are told when it will be over');
  const right = watches.of(baking(0), at(30_000).getTime());
  assert.deepEqual([right.left, right.until], [31_500, null]);
  ms += 31_500;
  assert.equal(watches.of(baking(0), at(-3_600_000).getTime()).left, 0);
});

test('who takes over counts what was watched before, not the time in which nobody did', () => {
  const left = (row: RolloutRow) => new Watches(() => 0).of(row, at(3_600_000).getTime()).left;
  assert.equal(left(baking(20_000)), 41_500);
  assert.equal(left(baking(3_600_000)), 0);
  assert.equal(left(baking(-3_600_000)), 61_500, 'a clock was set back: never more than the whole');
  assert.equal(left({ ...baking(20_000), baseline: null }), 61_500, 'nothing to compare with yet');
});

test('who is gone is gone since it was first seen so, and comes back', () => {
  let ms = 0;
  const watches = new Watches(() => ms);
  const row = baking(0);
  watches.of(row, 0);
  watches.gone(row, ['a']);
  ms += 1_000;
  assert.deepEqual(
    [...watches.gone(row, ['a', 'b'])],
    [
      ['a', 1_000],
      ['b', 0],
    ],
  );
  watches.gone(row, ['b']);
  ms += 1_000;
  assert.deepEqual(
    [...watches.gone(row, ['a', 'b'])],
    [
      ['b', 1_000],
      ['a', 0],
    ],
  );
});
