/** A rollout as it is asked for: by itself, or with the write that makes its release. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Context } from '../../deps.ts';
import { invalid, Problem } from '../../http/problem.ts';
import type { WriteQuery } from '../../http/write.ts';
import { placementOf, type Step } from '../releases/head.ts';
import type { Changed, Origin } from '../releases/request.ts';
import { notesOn, planOf } from './plan.ts';
import type { HaltOn, RolloutStart } from './schema.ts';
import { type RolloutRow, startRollout } from './store.ts';

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
  { version, percent, labels, steps, bake_seconds, halt_on, on_no_traffic, message }: RolloutStart,
): Promise<RolloutRow> {
  demandSignals(context, halt_on);
  const first: Step[] = labels ? [{ labels }] : percent === undefined ? [] : [{ percent }];
  const rest = steps ?? (first.length === 0 ? [5, 25, 100] : []);
  const all = [...first, ...rest.map((one) => ({ percent: one }))];
  const rules = { ...halt_on, on_no_traffic };
  const fleet = await liveWorkers(context);
  return startRollout(context, tenant_id, origin, {
    ...{ version, bake_seconds, message, rules, steps: all },
    notes: (tenant) => (fleet ? notesOn(planOf(all, placementOf(tenant), fleet), rules) : [STORE_AWAY]),
  });
}

function demandSignals({ redis }: Pick<Context, 'redis'>, halt_on: HaltOn, at = ''): void {
  for (const signal of ['error_rate', 'p99_ms'] as const) {
    if (halt_on[signal] === undefined || redis) continue;
    const message = 'This installation has no Redis: it keeps no metrics';
    throw invalid([{ pointer: `${at}/halt_on/${signal}`, code: 'no_metrics', message }]);
  }
}

type RolloutQuery = WriteQuery & { rollout?: Omit<RolloutStart, 'version'> | undefined };

/** The query of a write whose release is to be rolled out holds it. Refuses what could not begin, before it is stored. */
export function heldFor<Q extends RolloutQuery>(context: Context, query: Q): Q {
  if (!query.rollout) return query;
  if (query.publish !== undefined || query.wait !== undefined) {
    throw new Problem(
      'bad_request',
      '?rollout= goes without publish and wait: the release is held, and goes out by steps',
    );
  }
  demandSignals(context, query.rollout.halt_on, '/query/rollout');
  return { ...query, publish: 'hold' };
}

/** Begins the rollout that the write's query asks for, of what it made or of what is held; answers its id. */
export async function rollOut(
  context: Context,
  request: FastifyRequest,
  reply: FastifyReply,
  { rollout, message }: RolloutQuery,
  { state: { row } }: Changed,
): Promise<{ rollout?: string }> {
  if (!rollout || row.version === row.stable_version) return {};
  const origin = { actor: request.actor.name, request_id: request.id, message };
  const wanted = { ...rollout, version: row.version, message: rollout.message || message };
  const { rollout_id } = await start(context, row.tenant_id, origin, wanted);
  reply.header('arcus-rollout', rollout_id);
  return { rollout: rollout_id };
}
