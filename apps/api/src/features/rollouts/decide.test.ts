import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Labels } from '@arcus/control/release.ts';
import { decide, type Situation, type Worker } from './decide.ts';
import { notesOn, planOf } from './plan.ts';
import { breach, compare, type Signal } from './signals.ts';

const signal = (more: Partial<Signal>): Signal => ({
  ...{ workers: 1, requests: 100, errors: 0, error_rate: 0, p99_ms: 10, ...more },
});
const idle = signal({ requests: 0, error_rate: null, p99_ms: null });
const worker = (id: string, inside: boolean, applied: number): Worker => ({ id, inside, status: { applied } });
const rules = { nack: true, on_no_traffic: 'pause' } as const;
const base: Situation = {
  ...{ version: 2, phase: 'baking', step: 0, steps: [{ percent: 50 }, { percent: 100 }], rules },
  workers: [worker('a', true, 2), worker('b', false, 1)],
  ...{ lost: new Map(), deserted_ms: null, tried: true, bakeOver: true, comparison: null, blind: 'Redis is away' },
};

test('a step is over when all its workers run the release and its time is over', () => {
  assert.equal(decide(base).do, 'step');
  assert.equal(decide({ ...base, step: 1 }).do, 'promote');
  assert.equal(decide({ ...base, phase: 'entering' }).do, 'bake');
  assert.equal(decide({ ...base, bakeOver: false }).do, 'wait');
  const behind = decide({ ...base, workers: [worker('a', true, 1), worker('b', false, 1)] });
  assert.deepEqual(behind, { do: 'wait', for: 'no answer from a' });
});

test('a refusal halts, unless nobody asked for that', () => {
  const refused = { version: 2, issues: [{ pointer: '/x', message: 'no', code: 'c' }] };
  const workers = [{ id: 'a', inside: true, status: { applied: 1, refused } }, worker('b', false, 1)];
  assert.deepEqual(decide({ ...base, workers }), { do: 'halt', reason: 'a refused release 2: /x: no' });
  assert.equal(decide({ ...base, workers, rules: { ...rules, nack: false } }).do, 'step');
  const other = { ...refused, version: 1 };
  const old = [{ id: 'a', inside: true, status: { applied: 2, refused: other } }];
  assert.equal(decide({ ...base, workers: old }).do, 'step', 'a refusal of another release means nothing');
});

test('a worker that took the release and is lost is waited for, and then held against it', () => {
  const workers = [worker('b', false, 1)];
  assert.equal(decide({ ...base, workers, lost: new Map([['a', 1_000]]) }).do, 'wait');
  const verdict = decide({ ...base, workers, lost: new Map([['a', 30_000]]) });
  assert.deepEqual(verdict, { do: 'halt', reason: 'a took release 2 and was lost' });
});

test('numbers halt also while a worker that came meanwhile has not answered yet', () => {
  const bad = signal({ errors: 50, error_rate: 0.5 });
  const workers = [worker('a', true, 2), worker('new', true, 1), worker('b', false, 1)];
  const now = { ...base, workers, bakeOver: false, rules: { ...rules, error_rate: 0.1 } };
  assert.equal(decide({ ...now, comparison: { rollout: signal({}), stable: signal({}) } }).do, 'wait');
  assert.equal(decide({ ...now, comparison: { rollout: bad, stable: signal({}) } }).do, 'halt');
});

test('a step that takes nobody is passed over, but nothing is promoted that was never tried', () => {
  const workers = [worker('a', false, 1), worker('b', false, 1)];
  assert.equal(decide({ ...base, workers, phase: 'entering' }).do, 'step');
  const last = { ...base, workers, phase: 'entering', step: 1 } as const;
  assert.equal(decide(last).do, 'promote');
  assert.equal(decide({ ...last, tried: false }).do, 'pause');
  assert.equal(decide({ ...base, workers: [] }).do, 'wait');
});

test('when the workers of a step leave it is waited for them, and then for people: it goes no further by itself', () => {
  const workers = [worker('a', false, 1), worker('b', false, 1)];
  for (const phase of ['entering', 'baking'] as const) {
    for (const step of [0, 1]) {
      const left = { ...base, phase, step, workers };
      assert.equal(decide({ ...left, deserted_ms: 29_999 }).do, 'wait');
      const verdict = decide({ ...left, deserted_ms: 30_000 });
      assert.ok(verdict.do === 'pause' && /its workers left/.test(verdict.reason), JSON.stringify(verdict));
    }
  }
});

test('without traffic, or without Redis, nothing is called good when numbers were asked for', () => {
  const asked = { ...rules, error_rate: 0.01 };
  for (const comparison of [null, { rollout: idle, stable: signal({}) }]) {
    assert.equal(decide({ ...base, comparison, rules: asked }).do, 'pause');
    const goesOn = decide({ ...base, comparison, rules: { ...asked, on_no_traffic: 'continue' } });
    assert.ok(goesOn.do === 'step' && /nothing is known|no numbers \(Redis is away\)/.test(goesOn.text));
    assert.equal(decide({ ...base, comparison }).do, 'step', 'nobody asked for numbers');
  }
});

test('the usual limit halts what is plainly broken, says nothing by few requests, and holds nothing up', () => {
  const usual = { ...rules, error_rate: 0.5, usual: true } as const;
  const failed = (errors: number, requests = 100) => signal({ requests, errors, error_rate: errors / requests });
  const said = (rollout: Signal, stable: Signal, bakeOver = true) =>
    decide({ ...base, rules: usual, bakeOver, comparison: { rollout, stable } }).do;
  assert.equal(said(failed(100), signal({})), 'halt');
  assert.equal(said(failed(100), idle, false), 'halt', 'nothing to compare with: more often than not');
  assert.equal(said(failed(49), idle), 'step');
  assert.equal(said(failed(90), failed(45)), 'step', 'most of what this tenant asks for fails anyway');
  assert.equal(said(failed(19, 19), signal({})), 'step');
  assert.equal(said(idle, signal({})), 'step');
  assert.equal(decide({ ...base, rules: usual }).do, 'step', 'no numbers');
});

test('limits hold against the stable release, and for the numbers themselves when it has no traffic', () => {
  const rollout = signal({ requests: 100, errors: 6, error_rate: 0.06, p99_ms: 300 });
  const limit = { error_rate: 0.05 };
  assert.equal(breach({ rollout, stable: signal({ error_rate: 0.02 }) }, limit, false), null);
  assert.match(breach({ rollout, stable: signal({}) }, limit, false) ?? '', /6\.0 % of 100 requests failed, 0\.0 % on/);
  assert.match(breach({ rollout, stable: idle }, limit, false) ?? '', /no traffic on the stable release to compare/);
  assert.equal(breach({ rollout, stable: signal({ p99_ms: 290 }) }, { p99_ms: 50 }, false), null);
  assert.match(breach({ rollout, stable: signal({}) }, { p99_ms: 50 }, false) ?? '', /300 ms, 10 ms on the stable/);
  const few = signal({ requests: 3, errors: 3, error_rate: 1 });
  assert.equal(breach({ rollout: few, stable: signal({}) }, limit, false), null, 'three requests say nothing yet');
  assert.match(breach({ rollout: few, stable: signal({}) }, limit, true) ?? '', /100\.0 % of 3/, 'in the end they do');
});

test('only what was counted since counts, also of a worker that started anew', () => {
  const counts = (requests: number, errors: number) => ({ requests, errors, latency: [requests, 0] });
  const { rollout, stable } = compare(
    { a: counts(1000, 900), b: counts(500, 0) },
    { a: counts(1100, 901), b: counts(40, 4), c: counts(10, 0) },
    (id) => id === 'a',
  );
  assert.deepEqual([rollout.requests, rollout.errors], [100, 1]);
  assert.deepEqual([stable.requests, stable.errors, stable.workers], [40, 4, 2], 'c counted before anybody looked');
  const again = compare({ a: counts(1000, 900) }, { a: counts(30, 900) }, () => true);
  assert.deepEqual([again.rollout.requests, again.rollout.errors], [30, 0], 'it has counted no error since');
});

test('what a rollout cannot show with a fleet is said beforehand', () => {
  const fleet = (...ids: string[]) =>
    ids.map((id) => ({ id, labels: (id === 'a' ? { canary: 'yes' } : {}) as Labels }));
  const steps = [{ labels: { canary: 'yes' } }, { percent: 100 }];
  const usual = { ...rules, error_rate: 0.5, usual: true } as const;
  const notes = (ids: string[], asked = {}) =>
    notesOn(planOf(steps, undefined, fleet(...ids)), { ...usual, ...asked }).join('\n');
  assert.match(notes([]), /No worker is alive/);
  assert.match(notes(['b']), /one worker \(b\): it cannot be split.*step 2 of 2 \(100 %\)/);
  assert.match(notes(['a']), /step 1 of 2 \(canary=yes\)/);
  assert.match(notes(['b', 'c']), /Step 1 \(canary=yes\) takes none of the 2 workers/);
  assert.equal(notes(['a', 'b', 'c']), '');
  assert.match(notes(['a', 'b'], { p99_ms: 5, usual: undefined }), /From step 2 on no worker is left to compare with/);
  const unlimited = notes(['a', 'b', 'c'], { error_rate: undefined });
  assert.match(unlimited, /^Failed requests do not halt it, however many they are/);
  const half = notesOn(planOf([{ labels: { canary: 'yes' } }], undefined, fleet('a', 'b')), rules);
  assert.match(half.join(), /the rest of the fleet \(1 of 2\) takes it all at once/);
});
