/** The short form of scenarios, as tests. */
import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import { runScenarios } from './run.ts';
import type { Scenario } from './scenario.ts';

export function shortForms(scenarios: readonly Scenario[]): void {
  const ran = runScenarios(scenarios, { long: false });
  after(() => ran.return(undefined));
  for (const { title } of scenarios) {
    it(`nothing is lost or mixed, and all converge: ${title}`, async (t) => {
      const { value } = await ran.next();
      assert.ok(value);
      if (!value.outcome) return t.skip(value.skipped);
      assert.deepEqual(value.outcome.faults, []);
    });
  }
}
