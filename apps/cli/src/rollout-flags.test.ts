import assert from 'node:assert/strict';
import { test } from 'node:test';
import { howFlags, howOf } from './rollout-flags.ts';

const none = Object.fromEntries(Object.keys(howFlags).map((name) => [name, undefined]));
const how = (values: object) => howOf({ ...none, 'ignore-nack': false, ...values } as Parameters<typeof howOf>[0]);

test('what halts a rollout is said only when a flag says it: otherwise the limits of the API hold', () => {
  assert.deepEqual(how({ steps: '50,100' }), { steps: [50, 100] });
  assert.deepEqual(how({ 'error-rate': '0.1' }), { halt_on: { nack: true, error_rate: 0.1 } });
  assert.deepEqual(how({ p99: '5' }), { halt_on: { nack: true, p99_ms: 5 } });
  assert.deepEqual(how({ 'ignore-nack': true }), { halt_on: { nack: false } });
});
