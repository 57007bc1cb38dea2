import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { within } from './within.ts';

/** This process stands still, as one that gets no processor does. */
const stall = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

test('who stood still does not take others for slow', async () => {
  const work = async () => {
    // An answer that takes some turns of the event loop to be read.
    for (let i = 0; i < 20; i++) await turn();
    return 'here';
  };
  const asked = within(400, work());
  stall(1_000);
  assert.equal(await asked, 'here');
});

test('what does not come is given up, and what fails fails', async () => {
  assert.equal(await within(120, new Promise(() => {})), null);
  assert.equal(await within(0, new Promise(() => {})), null);
  await assert.rejects(within(60_000, Promise.reject(new Error('no'))), /^Error: no$/);
  assert.equal(await within(Number.POSITIVE_INFINITY, Promise.resolve(1)), 1);
});
