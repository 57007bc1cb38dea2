/**
 * What the driver of a rollout has seen itself, by a clock that is never set back: how long a step was watched, who is
 * gone since when. Clocks of machines jump; the times in the database are for people, and for the driver that takes over.
 */
import type { RolloutRow } from './store.ts';

/** A driver says that it is there each time that it looks; after this another one may drive, ms. */
export const LEASE_MS = 5_000;
/** Workers flush their counters once a second: what was counted before a step must not be held against it, ms. */
const SETTLE_MS = 1_500;
/** What the two clocks may differ before people are told a new end of the bake, ms. */
const DRIFT_MS = 2_000;

/** How long a phase of baking takes, ms. */
export const bakeMs = ({ bake_seconds }: Pick<RolloutRow, 'bake_seconds'>): number =>
  bake_seconds === 0 ? 0 : SETTLE_MS + bake_seconds * 1000;

/** A phase of a step, as this process watches it. */
export interface Watch {
  /** For how long, ms. */
  readonly ms: number;
  /** Are all counters of before the phase in? */
  readonly settled: boolean;
  /** What of the bake is still to come, ms. */
  readonly left: number;
  /** When that will be over, for people, if the row says otherwise. */
  readonly until: Date | null;
}

interface Kept {
  phase: string;
  since: number;
  /** What was to come of the bake then, ms. */
  left: number;
  /** Workers that are gone, and since when; `''`: all of the step. */
  readonly gone: Map<string, number>;
  /** Workers that came while it was watched, and since when they run what they should. */
  readonly joined: Map<string, number>;
  told: string;
}

export class Watches {
  readonly #clock: () => number;
  readonly #kept = new Map<string, Kept>();

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** Forgets all but these. */
  keep(ids: ReadonlySet<string>): void {
    for (const id of this.#kept.keys()) if (!ids.has(id)) this.#kept.delete(id);
  }

  /** `row` as it was before this process took the lease; `wall` is what the machine's clock says. */
  of(row: RolloutRow, wall: number): Watch {
    const kept = this.#get(row);
    const ms = this.#clock() - kept.since;
    const left = row.phase === 'baking' ? Math.max(0, kept.left - ms) : 0;
    const until = wall + left;
    const differs = left > 0 && Math.abs(until - (row.bake_until?.getTime() ?? 0)) > DRIFT_MS;
    return { ms, settled: ms >= SETTLE_MS, left, until: differs ? new Date(until) : null };
  }

  /** How long each of these is gone, ms; who is not among them is back. */
  gone({ rollout_id }: RolloutRow, ids: readonly string[]): Map<string, number> {
    const now = this.#clock();
    const gone = this.#kept.get(rollout_id)?.gone ?? new Map<string, number>();
    for (const id of gone.keys()) if (!ids.includes(id)) gone.delete(id);
    for (const id of ids) if (!gone.has(id)) gone.set(id, now);
    return new Map([...gone].map(([id, since]) => [id, now - since]));
  }

  /** Which of these, that came while it was watched and run what they should, do so for long enough to be counted? */
  settled({ rollout_id }: RolloutRow, ids: readonly string[]): string[] {
    const now = this.#clock();
    const joined = this.#kept.get(rollout_id)?.joined ?? new Map<string, number>();
    for (const id of joined.keys()) if (!ids.includes(id)) joined.delete(id);
    for (const id of ids) if (!joined.has(id)) joined.set(id, now);
    return ids.filter((id) => now - joined.get(id)! >= SETTLE_MS);
  }

  /** Is this what it said last? Then it is said no more. */
  tells({ rollout_id }: RolloutRow, text: string): boolean {
    const kept = this.#kept.get(rollout_id);
    if (!kept || kept.told === text) return false;
    kept.told = text;
    return true;
  }

  #get(row: RolloutRow): Kept {
    const phase = `${row.step} ${row.phase} ${row.step_at.getTime()}`;
    const before = this.#kept.get(row.rollout_id);
    if (before?.phase === phase) return before;
    const { gone = new Map<string, number>(), joined = new Map<string, number>(), told = '' } = before ?? {};
    const kept = { phase, since: this.#clock(), left: leftOf(row), gone, joined, told };
    this.#kept.set(row.rollout_id, kept);
    return kept;
  }
}

/** Time in which nobody drove was not watched; and without numbers to begin with nothing was. */
function leftOf(row: RolloutRow): number {
  const all = bakeMs(row);
  if (row.bake_until === null || row.baseline === null) return all;
  const seen = row.lease_until.getTime() - LEASE_MS;
  return Math.min(all, Math.max(0, row.bake_until.getTime() - seen));
}
