import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { drop, giveBack, isPooled, takeFor, takeLarger } from './buffers.ts';

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
  });

  it('are large for streams that move much, and so large only for some of them', () => {
    const taken: Buffer[] = [];
    const next = () => {
      const buffer = takeLarger(80 * 1024)!;
      taken.push(buffer);
      return buffer;
    };
    while (next().length === 1024 * 1024) assert.ok(taken.length <= 32);
    assert.equal(taken.length, 33);
    assert.equal(taken[32]!.length, 256 * 1024);
    assert.equal(takeLarger(256 * 1024), null);
    // One that is given back is used again, one that is dropped is not; both make room.
    giveBack(taken[0]!);
    assert.equal(next().buffer, taken[0]!.buffer);
    drop(taken[1]!.buffer);
    const other = takeLarger(256 * 1024)!;
    assert.equal(other.length, 1024 * 1024);
    assert.ok(!taken.some((buffer) => buffer.buffer === other.buffer));
    assert.equal(takeLarger(1024 * 1024), null);
    for (const { buffer } of [...taken.slice(2), other]) drop(buffer);
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
