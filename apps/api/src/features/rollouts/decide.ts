/** What comes next in a rollout: a function of what is known, nothing else. */
import type { TenantStatus } from '@arcus/control/release.ts';
import { type Step, subsetAt } from '../releases/head.ts';
import { stepName } from './plan.ts';
import { breach, type Comparison, describe } from './signals.ts';
import type { Rules } from './store.ts';

export interface Worker {
  readonly id: string;
  /** In the part of the fleet that takes the new release now. */
  readonly inside: boolean;
  readonly status: TenantStatus | undefined;
}

export interface Situation {
  readonly version: number;
  readonly phase: 'entering' | 'baking';
  readonly step: number;
  readonly steps: readonly Step[];
  readonly rules: Rules;
  /** Live workers that the tenant is placed on. */
  readonly workers: readonly Worker[];
  /** Ids that were inside and are not alive now, with how long, ms. */
  readonly lost: ReadonlyMap<string, number>;
  /** For how long none of those that this step took is there, ms: they said goodbye. Null: some are, or it took none. */
  readonly deserted_ms: number | null;
  /** Was any worker inside, now or at an earlier step? */
  readonly tried: boolean;
  readonly bakeOver: boolean;
  /** Since baking began; null: there are no numbers. */
  readonly comparison: Comparison | null;
  /** Why not. */
  readonly blind: string;
}

export type Verdict =
  | { readonly do: 'wait'; readonly for: string }
  | { readonly do: 'bake'; readonly text: string }
  | {
      readonly do: 'step' | 'promote';
      readonly kind: 'skipped' | 'baked';
      readonly text: string;
      readonly details?: object;
    }
  | { readonly do: 'halt' | 'pause'; readonly reason: string; readonly details?: object };

/** A worker that took the release and was not heard of for so long is held against it, ms; and so long is it waited for. */
const LOST_MS = 30_000;

export function decide(now: Situation): Verdict {
  const { version, phase, step, steps, rules, workers, lost, tried, bakeOver, comparison, deserted_ms } = now;
  const inside = workers.filter((worker) => worker.inside);
  const next = step + 1 < steps.length ? 'step' : 'promote';
  const name = `step ${step + 1} (${stepName(steps[step]!)})`;

  const refused = inside.filter(({ status }) => status?.refused?.version === version && status.applied !== version);
  if (rules.nack && refused.length > 0) {
    const [issue] = refused[0]!.status!.refused!.issues;
    const why = issue ? `: ${issue.pointer ? `${issue.pointer}: ` : ''}${issue.message}` : '';
    return { do: 'halt', reason: `${names(refused)} refused release ${version}${why}` };
  }
  for (const [id, ms] of lost) {
    if (ms >= LOST_MS) return { do: 'halt', reason: `${id} took release ${version} and was lost` };
  }
  if (phase === 'baking' && comparison) {
    const reason = breach(comparison, rules, bakeOver && !rules.usual);
    if (reason !== null) return { do: 'halt', reason, details: comparison };
  }
  if (workers.length === 0) return { do: 'wait', for: 'no worker is alive that the tenant is placed on' };
  if (deserted_ms !== null) {
    const reason = `its workers left: none of those that took release ${version} in ${name} is there any more`;
    return deserted_ms >= LOST_MS ? { do: 'pause', reason } : { do: 'wait', for: reason };
  }
  if (inside.length === 0 && lost.size === 0) {
    const text = `${name} takes none of the ${workers.length} workers: nothing was tried`;
    if (next === 'promote' && !tried) return { do: 'pause', reason: `${text}, in no step at all` };
    return { do: next, kind: 'skipped', text };
  }
  const missing = inside.filter((worker) => worker.status?.applied !== version && !refused.includes(worker));
  if (missing.length > 0 || lost.size > 0) {
    const who = [...missing.map((worker) => worker.id), ...lost.keys()];
    return { do: 'wait', for: `no answer from ${who.slice(0, 10).join(', ')}` };
  }
  if (phase === 'entering')
    return { do: 'bake', text: `${inside.length} of ${workers.length} workers run release ${version}` };

  const details = comparison ?? undefined;
  if (!bakeOver) return { do: 'wait', for: '' };
  if (
    !rules.usual &&
    asksNumbers(rules) &&
    (comparison === null || comparison.rollout.requests === 0) &&
    rules.on_no_traffic === 'pause'
  ) {
    const reason = comparison
      ? `no request went through release ${version} in ${name}: nothing can be said of it. Promote it, or resume to watch the step again`
      : `there are no numbers of ${name} (${now.blind}): nothing can be said of release ${version}`;
    return { do: 'pause', reason, ...(details && { details }) };
  }
  const said =
    comparison === null
      ? `no numbers (${now.blind})`
      : comparison.rollout.requests === 0
        ? `no request went through it, so nothing is known of how it does; ${describe(comparison)}`
        : describe(comparison);
  return { do: next, kind: 'baked', text: `${name}: ${said}`, ...(details && { details }) };
}

/** Do numbers decide? */
export const asksNumbers = ({ error_rate, p99_ms }: Rules): boolean => error_rate !== undefined || p99_ms !== undefined;

const names = (workers: readonly Worker[]): string => {
  const ids = workers.map((worker) => worker.id);
  return ids.length <= 5 ? ids.join(', ') : `${ids.slice(0, 5).join(', ')} and ${ids.length - 5} more`;
};

/** The part of the fleet that takes the new release at a step, for people. */
export const partName = (steps: readonly Step[], step: number): string => {
  const { percent, labels } = subsetAt(steps, step);
  return [...(labels ? [stepName({ labels })] : []), ...(percent === undefined ? [] : [`${percent} %`])].join(' and ');
};
