import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PageSize } from './page-size.ts';

test('pages grow while they are light, and shrink to what is heavy enough', () => {
  const size = new PageSize(10, 250);
  const limits = [size.limit];
  for (const bytes of [4_000, 16_000, 64_000, 100_000, 100_000_000, 1_500_000, 1_500_000, 400]) {
    size.came(bytes);
    limits.push(size.limit);
  }
  assert.deepEqual(limits, [10, 40, 160, 250, 250, 5, 6, 8, 32]);
});

test('a page that does not come is asked for in ever smaller parts, and the next list begins with those', () => {
  const size = new PageSize(500, 500);
  const limits: number[] = [];
  while (size.failed()) limits.push(size.limit);
  assert.deepEqual(limits, [63, 8, 1]);
  size.restart();
  assert.equal(size.limit, 1);
  size.came(1);
  size.restart();
  assert.equal(size.limit, 4);
  for (let i = 0; i < 9; i++) size.came(1);
  assert.equal(size.limit, 500);
});
