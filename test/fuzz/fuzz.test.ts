import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Failure, fuzz, seedsOf } from './run.ts';
import { targets } from './targets.ts';

it('100,000 mutated inputs do no parser any harm', () => {
  // `npm run fuzz` begins anywhere; a test run says the same each time.
  const seed = Number(process.env.ARCUS_SEED ?? 1);
  for (const result of fuzz(34_000, seed)) {
    assert.ok(result.accepted > result.inputs / 100, `${result.target}: hardly any input is accepted`);
  }
});

it('each target has seeds, and accepts at least one of them as it is', () => {
  for (const target of targets) {
    const seeds = seedsOf(target);
    assert.ok(seeds.length >= 5, target.name);
    assert.ok(
      seeds.some((seed) => target.run(seed, { below: () => 0 } as never)),
      target.name,
    );
  }
});

it('a failure tells its input', () => {
  const failure = new Failure(targets[0]!, Buffer.from('x'), 1, 2, new Error('why'));
  assert.match(failure.message, /request head, seed 1, input 2: why\n"x"/);
});
