import assert from 'node:assert/strict';
import { it } from 'node:test';
import { load } from './run.ts';

it('a proxy at saturation loses no session, no byte and no memory', async () => {
  const report = await load(5, 5);
  assert.deepEqual(report.faults, []);
  assert.ok(report.sessions > 1000, `only ${report.sessions} sessions`);
});
