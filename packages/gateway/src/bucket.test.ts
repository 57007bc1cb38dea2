import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bucket } from './bucket.ts';

/** How many can be taken at once. */
function takeAll(bucket: Bucket, now: number, perSecond: number): number {
  let taken = 0;
  while (bucket.take(now, perSecond) === 0) taken++;
  return taken;
}

test('so many as in one second may come at once, at least one; then as fast as they flow in', () => {
  for (const [perSecond, burst] of [
    [10, 10],
    [1, 1],
    [0.01, 1],
    [2.5, 2],
  ] as const) {
    const bucket = new Bucket(0, perSecond);
    assert.equal(takeAll(bucket, 0, perSecond), burst, `${perSecond} per second`);
  }
  const bucket = new Bucket(0, 10);
  takeAll(bucket, 0, 10);
  assert.equal(bucket.take(0, 10), 100);
  assert.equal(bucket.take(50, 10), 50);
  assert.equal(bucket.take(100, 10), 0);
  assert.equal(takeAll(bucket, 400, 10), 3);
  assert.equal(takeAll(bucket, 3_600_000, 10), 10, 'never more than a second’s worth');
});

test('a new rate changes what flows in, and fills nothing', () => {
  const bucket = new Bucket(0, 10);
  takeAll(bucket, 0, 10);
  assert.equal(takeAll(bucket, 0, 1000), 0);
  assert.equal(takeAll(bucket, 20, 1000), 20);
  assert.equal(takeAll(bucket, 1020, 1), 1, 'what is too much for the new rate is gone');
});

test('what others took is missing, also what was not there', () => {
  const bucket = new Bucket(0, 10);
  bucket.drain(4, 0, 10);
  assert.equal(takeAll(bucket, 0, 10), 6);
  bucket.drain(5, 0, 10);
  assert.equal(bucket.take(0, 10), 600);
  assert.equal(takeAll(bucket, 600, 10), 1);
});

test('a clock that is set back stops nothing', () => {
  const bucket = new Bucket(3_600_000, 10);
  takeAll(bucket, 3_600_000, 10);
  assert.equal(takeAll(bucket, 0, 10), 0);
  assert.equal(takeAll(bucket, 200, 10), 2);
});

test('it is as good as a new one once all has flown in', () => {
  const bucket = new Bucket(0, 10);
  bucket.take(0, 10);
  assert.equal(bucket.isFull(99), false);
  assert.equal(bucket.isFull(100), true);
});
