import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePort } from '@arcus/testkit/port.ts';
import { Claims } from './claims.ts';

test('an address belongs to one worker of a machine, as long as one of its processes uses it', async (t) => {
  const [one, other] = [new Claims<string>(), new Claims<string>()];
  t.after(() => {
    for (const holder of ['a', 'b', 'c']) for (const claims of [one, other]) claims.releaseAll(holder);
  });
  // All tests of this machine claim in one place.
  const address = `127.0.0.1:${await freePort()}`;
  assert.deepEqual(await Promise.all([one.claim(address, 'a'), one.claim(address, 'b')]), [true, true]);
  assert.equal(await other.claim(address, 'c'), false);
  one.release(address, 'a');
  assert.equal(await other.claim(address, 'c'), false);
  one.releaseAll('b');
  assert.equal(await other.claim(address, 'c'), true);
});
