import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Context } from '../../deps.ts';
import { TenantParams } from '../../http/ids.ts';
import { cursorKey, PageQuery, page, pageOf } from '../../http/pagination.ts';
import { notFound, Problem } from '../../http/problem.ts';
import { originOf } from '../../http/write.ts';
import { access } from '../../plugins/auth.ts';
import { placementOf } from '../releases/head.ts';
import { Version } from '../releases/history.ts';
import { mustExist } from '../targets/live.ts';
import { notesOn, planOf } from './plan.ts';
import { Rollout, RolloutDetail, RolloutStart } from './schema.ts';
import { liveWorkers, STORE_AWAY, start } from './start.ts';
import { type Move, move, type RolloutRow, rulesOf, stepsOf } from './store.ts';

const Params = TenantParams.extend({
  rollout_id: z
    .string()
    .regex(/^(?:current|r-[0-9a-f]{16})$/, 'must be current or the id of a rollout')
    .describe('Id of a rollout; current: the one that is under way'),
});

/** What a page's cursor holds: when the last one of it was made, and its id. */
const Key = z
  .string()
  .regex(/^\S+Z r-[0-9a-f]{16}$/)
  .transform((text) => ({ at: new Date(text.split(' ')[0]!), rollout_id: text.split(' ')[1]! }))
  .refine(({ at }) => !Number.isNaN(at.getTime()));

function rolloutBody(row: RolloutRow): z.output<typeof Rollout> {
  const { on_no_traffic, usual: _, ...halt_on } = rulesOf(row);
  const { rollout_id: id, tenant_id, version, stable_version, state, phase, bake_seconds, reason } = row;
  return {
    ...{ id, tenant_id, version, stable_version, state, phase, step: row.step + 1, steps: stepsOf(row) },
    ...{ bake_seconds, bake_until: row.bake_until?.toISOString() ?? null, halt_on, on_no_traffic, reason },
    ...{ author: row.author, message: row.message },
    ...{ created_at: row.created_at.toISOString(), updated_at: row.updated_at.toISOString() },
  };
}

/** What a hand may do, in which states. */
const actions = {
  pause: {
    summary: 'Stay at this step until it is resumed; what `halt_on` names takes it back all the same',
    from: ['running'],
    move: (): Move => ({
      data: { state: 'paused', reason: 'paused by hand' },
      story: { kind: 'paused', text: 'paused by hand' },
    }),
  },
  resume: {
    summary: 'Go on: the step is watched again from its beginning',
    from: ['paused'],
    move: (_, at): Move => ({
      data: { state: 'running', phase: 'entering', step_at: at, bake_until: null, reason: '' },
      story: { kind: 'resumed', text: 'resumed by hand' },
    }),
  },
  abort: {
    summary: 'Take the release back: all workers run the stable one',
    from: ['running', 'paused'],
    move: (row): Move => ({
      data: { state: 'aborted', reason: 'aborted by hand' },
      end: 'revert',
      story: { kind: 'aborted', text: `aborted by hand; all workers go back to release ${row.stable_version}` },
    }),
  },
  promote: {
    summary: 'Make it the stable release of all workers now, whatever is left to be watched',
    from: ['running', 'paused'],
    move: (row): Move => ({
      data: { state: 'promoted', reason: 'promoted by hand' },
      end: 'promote',
      story: { kind: 'promoted', text: `promoted by hand; release ${row.version} is the stable one` },
    }),
  },
} satisfies Record<string, { summary: string; from: RolloutRow['state'][]; move(row: RolloutRow, at: Date): Move }>;

export function rolloutRoutes(context: Context): FastifyPluginAsyncZod {
  const { db, now } = context;

  async function rowOf({ tenant_id, rollout_id }: z.output<typeof Params>): Promise<RolloutRow> {
    let id: string | null = rollout_id;
    if (rollout_id === 'current') {
      const tenant = await db.client.tenant.findUnique({ where: { tenant_id }, select: { rollout_id: true } });
      id = tenant?.rollout_id ?? null;
    }
    const row = id === null ? null : await db.client.rollout.findUnique({ where: { rollout_id: id } });
    if (!row || row.tenant_id !== tenant_id) {
      await mustExist(context, tenant_id);
      if (rollout_id === 'current') throw new Problem('not_found', 'No rollout is under way');
      throw notFound('rollout', rollout_id);
    }
    return row;
  }

  async function detail(row: RolloutRow): Promise<z.output<typeof RolloutDetail>> {
    const { rollout_id, tenant_id } = row;
    const [tenant, events, fleet] = await Promise.all([
      db.client.tenant.findUnique({ where: { tenant_id } }),
      db.client.rolloutEvent.findMany({ where: { rollout_id }, orderBy: { event_id: 'asc' }, take: 1000 }),
      liveWorkers(context),
    ]);
    const ended = row.state !== 'running' && row.state !== 'paused';
    const plan = fleet && tenant && !ended ? planOf(stepsOf(row), placementOf(tenant), fleet) : [];
    return {
      ...rolloutBody(row),
      plan: plan.map(({ step, workers, of }) => ({
        ...{ ...step, workers: workers.slice(0, 100), count: workers.length, of },
      })),
      notes: ended ? [] : fleet ? notesOn(plan, rulesOf(row)) : [STORE_AWAY],
      events: events.map(({ at, kind, text, actor, details }) => ({
        ...{ at: at.toISOString(), kind, text, actor, ...(details === null ? {} : { details }) },
      })),
    };
  }

  return async (app) => {
    app.post(
      '/tenants/:tenant_id/rollouts',
      {
        config: access('write', 'tenant'),
        schema: {
          tags: ['rollouts'],
          summary: 'Roll the held release out, step by step',
          description:
            'The release is made by a write with ?publish=hold; ?rollout= does both in one call. Each step takes a larger part of the fleet, always the ' +
            'same workers first; waits for their answers; watches them for a while beside the others; then comes the ' +
            'next. After the last step the release is the stable one of all workers.',
          params: TenantParams,
          body: RolloutStart,
          response: { 201: RolloutDetail },
        },
      },
      async (request, reply) => {
        const { tenant_id } = request.params;
        const { message } = request.body;
        const row = await start(context, tenant_id, originOf(request, { message }), request.body);
        reply.code(201).header('location', `/api/v1/tenants/${tenant_id}/rollouts/${row.rollout_id}`);
        return detail(row);
      },
    );

    app.get(
      '/tenants/:tenant_id/rollouts',
      {
        config: access('read', 'tenant'),
        schema: {
          tags: ['rollouts'],
          summary: 'List rollouts, newest first',
          params: TenantParams,
          querystring: PageQuery.extend({ version: Version.optional().describe('Of this release') }),
          response: { 200: pageOf(Rollout) },
        },
      },
      async (request) => {
        const { tenant_id } = request.params;
        const { limit, cursor, version } = request.query;
        const after = cursorKey(cursor, Key);
        const at = after?.at;
        const rows = await db.client.rollout.findMany({
          where: {
            tenant_id,
            ...(version === undefined ? {} : { version }),
            ...(at
              ? { OR: [{ created_at: { lt: at } }, { created_at: at, rollout_id: { lt: after?.rollout_id ?? '' } }] }
              : {}),
          },
          orderBy: [{ created_at: 'desc' }, { rollout_id: 'desc' }],
          take: limit + 1,
        });
        if (rows.length === 0) await mustExist(context, tenant_id);
        return page(rows, limit, (row) => `${row.created_at.toISOString()} ${row.rollout_id}`, rolloutBody);
      },
    );

    app.get(
      '/tenants/:tenant_id/rollouts/:rollout_id',
      {
        config: access('read', 'tenant'),
        schema: {
          tags: ['rollouts'],
          summary: 'Get a rollout with its story, and what its steps mean for the fleet',
          params: Params,
          response: { 200: RolloutDetail },
        },
      },
      async (request) => detail(await rowOf(request.params)),
    );

    for (const [name, action] of Object.entries(actions)) {
      app.post(
        `/tenants/:tenant_id/rollouts/:rollout_id/${name}`,
        {
          config: access('write', 'tenant'),
          schema: { tags: ['rollouts'], summary: action.summary, params: Params, response: { 200: RolloutDetail } },
        },
        async (request: FastifyRequest) => {
          const params = request.params as z.output<typeof Params>;
          const { rollout_id } = await rowOf(params);
          const row = await move(
            context,
            params.tenant_id,
            rollout_id,
            originOf(request, { message: '' }),
            (before) => {
              if (!(action.from as string[]).includes(before.state)) {
                throw new Problem('conflict', `The rollout is ${before.state}: there is nothing to ${name}`);
              }
              return action.move(before, new Date(now()));
            },
          );
          return detail(row) as never;
        },
      );
    }
  };
}
