/** Runs scenarios one after another; those that want the same deployment share it. */
import { Lab } from './lib/lab.ts';
import type { Outcome, Scenario } from './scenario.ts';

/** How often processes are killed in the long form; in the short one once at each fault point. */
const KILLS = 300;

const nothing: Outcome = {
  ...{ convergedMs: 0, accepted: 0, unknown: 0, decisions: 0, hurts: 0, note: '' },
  faults: [],
};

export interface Ran {
  readonly scenario: Scenario;
  /** Undefined: it could not be run, see `skipped`. */
  readonly outcome: Outcome | undefined;
  readonly skipped: string;
  readonly seconds: number;
}

export async function* runScenarios(
  wanted: readonly Scenario[],
  { long, kills = long ? KILLS : undefined }: { long: boolean; kills?: number | undefined },
): AsyncGenerator<Ran> {
  for (const [members, group] of Map.groupBy(wanted, (scenario) => scenario.members)) {
    let lab: Lab | undefined;
    try {
      for (const scenario of group) {
        const skipped = scenario.unable?.() ?? '';
        if (skipped !== '') {
          yield { scenario, outcome: undefined, skipped, seconds: 0 };
          continue;
        }
        lab ??= await openLab(members);
        const started = performance.now();
        // A try that a busy machine made too late costs the pause before the next one, too.
        if (!long) lab.barMs = 20_000;
        lab.begin();
        const outcome = await scenario.run(lab, { long, kills }).catch(async (error) => {
          // What is left of it is in no known state.
          await lab?.close();
          lab = undefined;
          return { ...nothing, faults: [`the scenario did not end: ${(error as Error).stack}`] };
        });
        const seconds = Math.round((performance.now() - started) / 100) / 10;
        yield { scenario, outcome, skipped, seconds };
      }
    } finally {
      await lab?.close();
    }
  }
}

async function openLab(members: Scenario['members']): Promise<Lab> {
  return Lab.start(members === 0 ? { workers: 0 } : { members });
}
