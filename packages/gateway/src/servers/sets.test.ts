import assert from 'node:assert/strict';
import { test } from 'node:test';
import { oneOfEach } from './sets.ts';

test('servers that say the same share one set', () => {
  const set = oneOfEach([443, 8443]);
  assert.deepEqual([...set], [443, 8443]);
  assert.equal(oneOfEach([443, 8443]), set);
  assert.equal(oneOfEach([]), oneOfEach([]));
});

test('other values are another set: numbers are no texts, and a comma in a text parts nothing', () => {
  for (const [one, other] of [
    [[443], ['443']],
    [['a', 'b'], ['a,b']],
    [[], ['']],
  ] as (string | number)[][][]) {
    assert.deepEqual([...oneOfEach(one!)], one);
    assert.deepEqual([...oneOfEach(other!)], other);
  }
});

test('more sets than are remembered are made all the same, each with what it was made of', () => {
  const first = oneOfEach([1]);
  for (let port = 1; port <= 1000; port++) assert.deepEqual([...oneOfEach([port, 65_535])], [port, 65_535]);
  assert.equal(oneOfEach([1]), first, 'the first ones are kept: they are the common ones');
  assert.notEqual(oneOfEach([1000, 65_535]), oneOfEach([1000, 65_535]), 'what a tenant thinks up fills no memory');
});
