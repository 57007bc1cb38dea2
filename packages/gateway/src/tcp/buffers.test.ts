import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BULK_SIZE, giveBack, isPooled, takeBulk, takeFor } from './buffers.ts';

describe('buffers that are used again', () => {
  it('are little larger than what they are for', () => {
    for (const [size, most] of [
      [1, 4096],
      [4096, 4096],
      [4097, 16_384],
      [66_000, 81_920],
      [81_921, 81_921],
      [500_000, 500_000],
    ] as const) {
      const { length } = takeFor(size);
      assert.ok(length >= size && length <= most, `${length} bytes for ${size}`);
    }
    assert.equal(takeBulk().length, BULK_SIZE);
  });

  it('come back, and are never had by two', () => {
    const [a, b] = [takeFor(100), takeFor(100)];
    assert.notEqual(a.buffer, b.buffer);
    giveBack(a);
    assert.equal(takeFor(200).buffer, a.buffer);
    assert.notEqual(takeFor(200).buffer, a.buffer);
  });

  it('of others are never taken in', () => {
    const foreign = Buffer.allocUnsafeSlow(4096);
    assert.equal(isPooled(foreign.buffer), false);
    giveBack(foreign);
    for (let i = 0; i < 100; i++) assert.notEqual(takeFor(4096).buffer, foreign.buffer);
  });
});
