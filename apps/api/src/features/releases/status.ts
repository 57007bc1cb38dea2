/** Who runs what: the workers of a tenant's placement held against the release that each shall run. */
import { type Chooser, placed } from '@arcus/control/chosen.ts';
import type { HeadBody, TenantStatus } from '@arcus/control/release.ts';
import { type ConfigStore, StoreUnavailable } from '@arcus/control/store.ts';
import { z } from 'zod';
import { Timestamp } from '../../http/ids.ts';
import { within } from '../../http/within.ts';
import type { Fleet, KnownWorker } from '../workers/fleet.ts';

export const WorkerState = z
  .object({
    worker: z.string().describe('Id of the worker'),
    state: z
      .enum(['applied', 'refused', 'lagging', 'silent', 'lost'])
      .describe(
        'applied: runs the version it shall run; refused: has said why not; lagging: runs another one; ' +
          'silent: said nothing; lost: shows no sign of life, and did not say goodbye',
      ),
    wanted: z.int().describe('The version that it shall run'),
    applied: z.int().describe('The version that serves there now, 0 when none does or nobody knows'),
    refused: z
      .object({
        version: z.int(),
        issues: z.array(z.object({ pointer: z.string(), message: z.string(), code: z.string() })),
      })
      .nullable()
      .describe('The newest release that it refused, and why'),
    labels: z.record(z.string(), z.string()),
    host: z.string(),
    processes: z.int().describe('How many processes it is'),
    reported_at: z.string().describe('When the worker last said how it is, RFC 3339'),
    last_seen_at: Timestamp.describe('Its last sign of life; of one that is alive: now'),
    store_age_ms: z.int().nullable().describe('How old its view of the store is, ms; null when it does not say'),
  })
  .meta({ id: 'WorkerState' });
export type WorkerState = z.output<typeof WorkerState>;

export const Summary = z
  .object({
    workers: z.int().describe('Live workers that shall run the tenant'),
    applied: z.int(),
    refused: z.int(),
    lagging: z.int(),
    silent: z.int(),
    lost: z.int().describe('Workers that are gone without goodbye: not among `workers`, and not fine'),
    converged: z
      .boolean()
      .describe('There is at least one live worker, all of them run what they shall run, and none is lost'),
  })
  .meta({ id: 'ReleaseSummary' });
export type Summary = z.output<typeof Summary>;

export interface Answers {
  workers: WorkerState[];
  summary: Summary;
}

export interface Asked {
  readonly store: ConfigStore;
  readonly fleet: Fleet;
  readonly now: () => number;
}

/** Which version a worker shall run; null: the tenant is not placed there. */
export type Wanted = (worker: Chooser) => number | null;

/** The same version on all workers of a placement. */
export const everywhere =
  (version: number, placement: HeadBody['placement']): Wanted =>
  (worker) =>
    placed(placement, worker) ? version : null;

/**
 * Every worker's answer for the tenant. `newer` counts one that runs a later version as one that applied this: later
 * releases hold it. Throws StoreUnavailable.
 */
export async function answersOf(
  { store, fleet, now }: Asked,
  tenant_id: string,
  wanted: Wanted,
  newer = false,
): Promise<Answers> {
  const [known, statuses] = await Promise.all([fleet.workers(), store.listStatus(tenant_id)]);
  const workers = known.flatMap((worker) => {
    const version = wanted(worker.record);
    return version === null ? [] : [stateOf(worker, statuses.get(worker.record.id), version, newer, now())];
  });
  const count = (state: WorkerState['state']) => workers.filter((worker) => worker.state === state).length;
  const lost = count('lost');
  const summary = {
    workers: workers.length - lost,
    applied: count('applied'),
    refused: count('refused'),
    lagging: count('lagging'),
    silent: count('silent'),
    lost,
  };
  const converged = summary.workers > 0 && lost === 0 && summary.applied === summary.workers;
  return { workers, summary: { ...summary, converged } };
}

function stateOf(
  { record, alive, last_seen_at }: KnownWorker,
  status: TenantStatus | undefined,
  wanted: number,
  newer: boolean,
  now: number,
): WorkerState {
  const refused = status?.refused ?? null;
  const state = !alive
    ? 'lost'
    : status === undefined
      ? 'silent'
      : status.applied === wanted || (newer && status.applied > wanted)
        ? 'applied'
        : refused && refused.version >= wanted
          ? 'refused'
          : 'lagging';
  return {
    ...{ worker: record.id, state, wanted },
    applied: (alive && status?.applied) || 0,
    refused: alive ? refused : null,
    labels: record.labels,
    host: record.host,
    processes: record.processes ?? 1,
    reported_at: record.reported_at,
    last_seen_at: new Date(last_seen_at).toISOString(),
    store_age_ms: ageOf(record.store_seen_at, now),
  };
}

/** Clocks differ: nothing is seen in the future. */
export const ageOf = (at: string | undefined, now: number): number | null =>
  at === undefined ? null : Math.max(0, now - Date.parse(at));

/** Two looks at the store are this far apart, ms: at first, and later, when it takes long anyway. */
const SOON = 10;
const LATER = 100;
/** A look takes at most so long, or as long as is left, ms. */
const LOOK_MS = 500;

/**
 * Waits until every live worker has answered for the version it is `wanted` to run, at most `timeoutMs`: one that is lost
 * will not. Answers what is known then: look at the summary. Ends early when `signal` says that nobody listens any more.
 */
export async function waitForAnswers(
  asked: Asked,
  tenant_id: string,
  wanted: Wanted,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Answers> {
  const start = performance.now();
  let last: Answers | null = null;
  for (;;) {
    const left = Math.max(0, timeoutMs - (performance.now() - start));
    // Whoever waits for less than one look takes has it all the same.
    const answers: Answers | null = await within(Math.max(left, LOOK_MS), answersOf(asked, tenant_id, wanted, true));
    last = answers ?? last;
    if (last === null) throw new StoreUnavailable('it took too long');
    const { workers, applied, refused } = last.summary;
    if (workers > 0 && applied + refused === workers) return last;
    const passed = performance.now() - start;
    if (passed >= timeoutMs || signal.aborted) return last;
    const pause = Math.min(passed < 1000 ? SOON : LATER, timeoutMs - passed);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
