import type { Verdict } from './lib/checker.ts';
import type { Lab } from './lib/lab.ts';

/** What a run has to show, beside the verdict. */
export interface Outcome extends Verdict {
  /** Processes killed, or other hurts done. */
  hurts: number;
  /** In words, for the results. */
  note: string;
}

export interface Scenario {
  readonly name: string;
  /** What a person would say happened. */
  readonly title: string;
  /** Why it cannot be run here; '' when it can. */
  readonly unable?: () => string;
  /** Members of etcd that it wants; scenarios with the same wish share a deployment. 0: it makes its own. */
  readonly members: 0 | 1 | 3;
  /** `kills`: how many of those that come in numbers, undefined: one of each; `long`: longer and more often than in CI. */
  run(lab: Lab, how: { long: boolean; kills: number | undefined }): Promise<Outcome>;
}
