import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TenantStatus } from './release.ts';
import { statusText, statusTexts } from './status.ts';

const refusal = (issues: number, message: string): TenantStatus => ({
  applied: 1,
  refused: {
    version: 2,
    issues: Array.from({ length: issues }, (_, i) => ({ pointer: `/a/${i}`, code: 'c', message })),
  },
});
const read = (text: string) => TenantStatus.parse(JSON.parse(text));

test('a hundred reasons of usual length are kept', () => {
  const usual = refusal(100, 'm'.repeat(200));
  assert.deepEqual(read(statusText(usual)), usual);
});

test('a status fits whatever it says, and always says who refused what', () => {
  for (const [issues, message] of [
    [1, 'm'.repeat(2_000_000)],
    [100, 'm'.repeat(1000)],
    [5000, 'm'.repeat(200)],
    [1000, '\u0000'.repeat(500)],
  ] as const) {
    const text = statusText(refusal(issues, message));
    assert.ok(Buffer.byteLength(text) <= 32 * 1024, `${issues} reasons`);
    const { applied, refused } = read(text);
    assert.deepEqual([applied, refused?.version, refused?.issues[0]?.pointer], [1, 2, '/a/0']);
  }
  assert.deepEqual(read(statusText(refusal(3, 'long'), 60)), refusal(0, ''));
});

test('where many have to fit, the long ones are cut and the others are whole', () => {
  const short = refusal(1, 'short');
  const long = refusal(100, 'm'.repeat(200));
  const all = new Map(Array.from({ length: 50 }, (_, i) => [`t-${i}`, statusText(i < 40 ? short : long)]));
  const text = statusTexts(all, 50_000);
  assert.ok(Buffer.byteLength(text) <= 50_000);
  const found = JSON.parse(text) as Record<string, TenantStatus>;
  assert.equal(Object.keys(found).length, 50);
  assert.deepEqual(found['t-39'], short);
  assert.deepEqual([found['t-40']?.applied, found['t-40']?.refused?.version], [1, 2]);
  assert.deepEqual(JSON.parse(statusTexts(new Map([['a', '{"applied":1}']]), 100)), { a: { applied: 1 } });
  assert.equal(statusTexts(new Map(), 100), '{}');
});
