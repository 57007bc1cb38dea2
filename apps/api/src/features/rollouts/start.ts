/** A rollout as it is asked for: by itself, or with the write that makes its release. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Context } from '../../deps.ts';
import { invalid, Problem } from '../../http/problem.ts';
import type { WriteQuery } from '../../http/write.ts';
import { placementOf, type Step } from '../releases/head.ts';
import type { Changed, NewRollout, Origin } from '../releases/request.ts';
import { notesOn, planOf } from './plan.ts';
import { type HaltOn, type RolloutStart, USUAL_ERROR_RATE } from './schema.ts';
import { newRollout, type RolloutRow, startRollout, type Wanted } from './store.ts';

export const STORE_AWAY = 'The config store is away: nobody can tell which workers there are.';

/** Records of the workers that live; null: the store is away. */
export const liveWorkers = ({ fleet }: Pick<Context, 'fleet'>) =>
  fleet.workers().then(
    (known) => known.filter((worker) => worker.alive).map((worker) => worker.record),
    () => null,
  );

/** Throws Problem: invalid, or what `startRollout` throws. */
export async function start(
  context: Context,
  tenant_id: string,
  origin: Origin,
  asked: RolloutStart,
): Promise<RolloutRow> {
  demandSignals(context, asked.halt_on);
  return startRollout(context, tenant_id, origin, await wantedOf(context, asked));
}

async function wantedOf(
  context: Context,
  { version, percent, labels, steps, bake_seconds, halt_on, on_no_traffic, message }: RolloutStart,
): Promise<Wanted> {
  const first: Step[] = labels ? [{ labels }] : percent === undefined ? [] : [{ percent }];
  const rest = steps ?? (first.length === 0 ? [5, 25, 100] : []);
  const all = [...first, ...rest.map((one) => ({ percent: one }))];
  const { redis } = context;
  const rules = {
    ...(halt_on ?? {
      nack: true,
      ...(redis && bake_seconds > 0 ? { error_rate: USUAL_ERROR_RATE, usual: true as const } : {}),
    }),
    on_no_traffic,
  };
  const fleet = await liveWorkers(context);
  return {
    ...{ version, bake_seconds, message, rules, steps: all },
    notes: (tenant) => (fleet ? notesOn(planOf(all, placementOf(tenant), fleet), rules) : [STORE_AWAY]),
  };
}

function demandSignals({ redis }: Pick<Context, 'redis'>, halt_on: HaltOn | undefined, at = ''): void {
  for (const signal of ['error_rate', 'p99_ms'] as const) {
    if (halt_on?.[signal] === undefined || redis) continue;
    const message = 'This installation has no Redis: it keeps no metrics';
    throw invalid([{ pointer: `${at}/halt_on/${signal}`, code: 'no_metrics', message }]);
  }
}

type RolloutQuery = WriteQuery & { rollout?: Omit<RolloutStart, 'version'> | undefined };

/** The query of a write whose release is to be rolled out holds it. Refuses what could not begin, before it is stored. */
export function heldFor<Q extends RolloutQuery>(context: Context, query: Q): Q {
  if (!query.rollout) return query;
  const faults = (['publish', 'wait'] as const)
    .filter((name) => query[name] !== undefined)
    .map((name) => ({ pointer: `/query/${name}`, code: 'conflicting', message: 'goes without rollout' }));
  if (faults.length > 0) {
    const detail = '?rollout= goes without publish and wait: the release is held, and goes out by steps';
    throw new Problem('bad_request', detail, { faults });
  }
  demandSignals(context, query.rollout.halt_on, '/query/rollout');
  return { ...query, publish: 'hold' };
}

/** A rollout that the query of a write asks for, and what is to be told of it once it has begun. */
export interface Asked extends NewRollout {
  /** What it cannot show; known when it begins. */
  notes: string[];
}

/** What the query asks for, to begin with the write: before it there is nothing to be seen of it. */
export async function rolloutOf(
  context: Context,
  request: FastifyRequest,
  { rollout, message }: RolloutQuery,
): Promise<Asked | undefined> {
  if (!rollout) return undefined;
  const origin = { actor: request.actor.name, request_id: request.id, message };
  const wanted = await wantedOf(context, { ...rollout, message: rollout.message || message });
  const asked: Asked = {
    ...newRollout(origin, {
      ...wanted,
      notes(row) {
        asked.notes = wanted.notes(row);
        return asked.notes;
      },
    }),
    notes: [],
  };
  return asked;
}

/** Brings the workers what began with the write; answers what its caller is told. */
export async function begun(
  { publisher }: Context,
  reply: FastifyReply,
  rollout: Asked | undefined,
  { state: { row } }: Changed,
): Promise<{ rollout?: string; notes?: string[] }> {
  // There was nothing to be rolled out.
  if (!rollout || row.rollout_id !== rollout.id) return {};
  await publisher.publish(row.tenant_id);
  reply.header('arcus-rollout', rollout.id);
  return { rollout: rollout.id, notes: rollout.notes };
}
