import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testHead } from '@arcus/testkit/keys.ts';
import { brief, encode, MOST_HEAD, readHead } from './codec.ts';

const head = testHead(1);
const reasonOf = (text: string) => {
  const result = readHead(Buffer.from(text), 'acme');
  return 'reason' in result ? result.reason : null;
};

test('a head that is too large is none, and its size is the reason', () => {
  const [fits, over] = [MOST_HEAD, MOST_HEAD + 1].map((size) => encode(head).padEnd(size));
  assert.equal(reasonOf(fits!), null);
  assert.equal(reasonOf(over!), 'head of acme is too large: 65537 bytes, at most 65536');
  assert.deepEqual(readHead(null, 'acme'), { reason: 'head of acme is too large: at most 65536' });
});

test('the largest head that may be written is not too large', () => {
  const name = (i: number) => `${'n'.repeat(61)}${String(i).padStart(2, '0')}`;
  const labels = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [name(i), 'v'.repeat(63)]));
  const rollout = { ...head.stable, id: 'i'.repeat(64), subset: { percent: 1, labels } };
  const most = testHead(1, { tenant: 't'.repeat(63), placement: { any: Array(16).fill(labels) }, rollout });
  assert.equal(reasonOf(encode(most)), null);
  const more = { ...labels, [name(16)]: '' };
  assert.throws(() => testHead(1, { placement: { any: [more] } }), /more than 16 labels/);
});

test('a reason is short, whatever the head says', () => {
  const keys = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`k"${i}`, 1]));
  const reason = reasonOf(encode({ ...head, ...keys }))!;
  assert.equal(reason.length, 500);
  assert.match(reason, /^head of acme: value: Unrecognized keys: .*…$/);
  const long = reasonOf(encode({ ...head, placement: { any: [{ ['x'.repeat(60_000)]: '' }] } }))!;
  assert.equal(long.length, 500);
  assert.equal(brief('ab😀cd', 4), 'ab…');
  assert.equal(brief('ab😀', 4), 'ab😀');
});

test('a signature has one spelling', () => {
  const { value } = head.signature;
  const other = value.slice(0, -1) + 'BRhx'['AQgw'.indexOf(value.at(-1)!)];
  assert.ok(Buffer.from(other, 'base64url').equals(Buffer.from(value, 'base64url')), 'it is the same');
  for (const wrong of [
    other,
    `${value}=`,
    `${value}==`,
    `${value}\n`,
    `${value}AA`,
    value.slice(1),
    `${value.slice(1)}+`,
    '',
  ]) {
    assert.match(
      reasonOf(encode({ ...head, signature: { ...head.signature, value: wrong } })) ?? '',
      /is no signature/,
    );
  }
});
