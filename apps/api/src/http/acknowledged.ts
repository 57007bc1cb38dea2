/** Waits for the workers after a write, and says who is missing. */
import { StoreUnavailable } from '@arcus/control/store.ts';
import type { FastifyRequest } from 'fastify';
import type { Context } from '../deps.ts';
import { placementOf } from '../features/releases/head.ts';
import type { TenantRow } from '../features/releases/state.ts';
import { type Answers, everywhere, type WorkerState, waitForAnswers } from '../features/releases/status.ts';
import { Problem } from './problem.ts';

export interface Awaited {
  readonly row: TenantRow;
  /** The release that workers shall answer for. */
  readonly version: number;
  /** Only those count that shall run the tenant from now on: that it runs where it ran says nothing of its move. */
  readonly enters: boolean;
  /** As it was asked for, ms. */
  readonly timeout: number;
  /** Of that, ms. */
  readonly left: number;
  /** Is it in the store? Null: that did not say so in time. */
  readonly live: boolean | null;
}

/** What all of them said; throws Problem when not all of them run the release. */
export async function acknowledged(context: Context, request: FastifyRequest, awaited: Awaited): Promise<Answers> {
  const { row, version, timeout, left, live } = awaited;
  const placement = awaited.enters ? placementOf({ placement: row.placement, leaving: null }) : placementOf(row);
  const gone = new AbortController();
  const onClose = () => gone.abort();
  request.raw.socket?.once('close', onClose);
  let answers: Answers;
  try {
    if (live === null) throw new StoreUnavailable('it took too long');
    const wanted = everywhere(version, placement);
    answers = await waitForAnswers(context, row.tenant_id, wanted, left, gone.signal);
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    const extra = { release: version, state: live ? 'published' : 'pending' };
    throw new Problem('release_unacknowledged', 'The config store is away: nobody can tell who runs the release', {
      extra,
    });
  } finally {
    request.raw.socket?.off('close', onClose);
  }
  const { summary, workers } = answers;
  if (summary.converged) return answers;
  const extra = { release: version, state: live ? 'published' : 'pending', summary, workers };
  const faults = workers.flatMap((w) =>
    w.state === 'refused'
      ? (w.refused?.issues ?? []).map((issue) => ({ ...issue, message: `${w.worker}: ${issue.message}` }))
      : [],
  );
  if (summary.refused > 0) {
    throw new Problem('release_refused', names('refused by', workers, 'refused'), { extra, faults });
  }
  const missing = [
    ...(summary.workers === 0 ? [nobody(awaited, placement)] : []),
    ...(summary.silent + summary.lagging > 0 ? [names('no answer from', workers, 'silent', 'lagging')] : []),
    ...(summary.lost > 0 ? [names('lost:', workers, 'lost')] : []),
  ];
  // For one that is lost it was not waited.
  const inTime = summary.applied === summary.workers && summary.workers > 0 ? '' : `Within ${timeout} ms: `;
  throw new Problem('release_unacknowledged', `${inTime}${missing.join('; ')}`, { extra });
}

function nobody({ enters }: Awaited, placement: ReturnType<typeof placementOf>): string {
  const labels = placement?.any.map((one) =>
    Object.entries(one)
      .map(([name, value]) => `${name}=${value}`)
      .join(','),
  );
  const which = labels === undefined ? '' : ` that has the labels ${labels.join(' or ')}`;
  return `no worker is alive${which}${enters ? ': the tenant stays where it ran before' : ''}`;
}

const names = (what: string, workers: readonly WorkerState[], ...states: WorkerState['state'][]): string =>
  `${what} ${workers
    .filter((worker) => states.includes(worker.state))
    .map((worker) => worker.worker)
    .join(', ')}`;
