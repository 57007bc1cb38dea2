/** What steps mean for a fleet, said before they are taken. */
import { placed, within } from '@arcus/control/chosen.ts';
import type { HeadBody, WorkerRecord } from '@arcus/control/release.ts';
import { type Step, subsetAt } from '../releases/head.ts';
import type { Rules } from './store.ts';

export interface Planned {
  readonly step: Step;
  readonly workers: readonly string[];
  readonly of: number;
}

export function planOf(
  steps: readonly Step[],
  placement: HeadBody['placement'],
  fleet: readonly Pick<WorkerRecord, 'id' | 'labels'>[],
): Planned[] {
  const here = fleet.filter((worker) => placed(placement, worker));
  return steps.map((step, i) => {
    const subset = subsetAt(steps, i);
    const workers = here.filter((worker) => within(subset, worker)).map((worker) => worker.id);
    return { step, workers: workers.sort(), of: here.length };
  });
}

export const stepName = (step: Step): string =>
  'percent' in step
    ? `${step.percent} %`
    : Object.entries(step.labels)
        .map(([name, value]) => `${name}=${value}`)
        .join(',');

/** Where a rollout over this fleet gives less than it seems to. */
export function notesOn(plan: readonly Planned[], rules: Rules): string[] {
  const of = plan[0]?.of ?? 0;
  if (of === 0) return ['No worker is alive that the tenant is placed on: nothing can be tried.'];
  const notes: string[] = [];
  const first = plan.findIndex(({ workers }) => workers.length > 0);
  if (of === 1) {
    const when =
      first < 0 ? 'when it is promoted' : `at step ${first + 1} of ${plan.length} (${stepName(plan[first]!.step)})`;
    notes.push(
      `There is one worker (${plan.at(-1)?.workers[0] ?? 'in no step'}): it cannot be split. It takes the release ${when}, ` +
        'and all traffic of the tenant with it; there is nothing to compare it with.',
    );
  } else {
    for (const [i, { step, workers }] of plan.entries()) {
      const before = plan[i - 1]?.workers.length ?? 0;
      const named = `Step ${i + 1} (${stepName(step)})`;
      if (workers.length === 0)
        notes.push(`${named} takes none of the ${of} workers: it tries nothing and is passed over.`);
      else if (workers.length === before) notes.push(`${named} takes no worker more than the step before.`);
      else if (workers.length === of && !('percent' in step && step.percent === 100)) {
        notes.push(`${named} takes all ${of} workers.`);
      }
    }
    const all = plan.find(({ workers }) => workers.length === of);
    if (all && !rules.usual && (rules.error_rate !== undefined || rules.p99_ms !== undefined)) {
      const index = plan.indexOf(all) + 1;
      notes.push(`From step ${index} on no worker is left to compare with: limits hold for the numbers themselves.`);
    }
  }
  if (plan.at(-1)!.workers.length < of) {
    notes.push(
      `After the last step the rest of the fleet (${of - plan.at(-1)!.workers.length} of ${of}) takes it all at once.`,
    );
  }
  if (rules.error_rate === undefined) {
    notes.push(
      'Failed requests do not halt it, however many they are: there is no limit for them (halt_on.error_rate).',
    );
  }
  return notes;
}
