import type { Limits } from './limits.ts';
import type { Decision } from './session.ts';
import type { Stats } from './stats.ts';
import type { Wheel } from './wheel.ts';

/** What a process lends to every graph it compiles: made once in the composition root. */
export interface Services {
  /** Wall clock in ms; tests may turn it. */
  readonly now: () => number;
  /** One coarse timer wheel for all idle timeouts of the process. */
  readonly wheel: Wheel;
  readonly stats: Stats;
  readonly limits: Limits;
  /** Takes each session's decision, refused ones too. Must not block. */
  readonly record: (decision: Decision) => void;
  /** Name of this worker in `Via` and in loop detection. */
  readonly worker: string;
}
