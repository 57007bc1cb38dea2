import { chosen } from '@arcus/control/chosen.ts';
import { StoreUnavailable } from '@arcus/control/store.ts';
import { entriesOf } from '@arcus/gateway/check.ts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Context } from '../../deps.ts';
import { GLOBAL, TenantParams } from '../../http/ids.ts';
import { notFound } from '../../http/problem.ts';
import { within } from '../../http/within.ts';
import { finish, originOf, patienceOf, ReleaseResult, WriteQuery } from '../../http/write.ts';
import { access } from '../../plugins/auth.ts';
import { placementOf, wantedHead } from '../releases/head.ts';
import type { TenantState } from '../releases/state.ts';
import { type Answers, answersOf, everywhere, Summary, WorkerState } from '../releases/status.ts';
import { globalTarget, liveTarget } from '../targets/live.ts';
import { Moving, movingOf } from '../tenants/moving.ts';
import { documentRoutes } from './document.ts';

const ReleaseState = z.enum(['none', 'published', 'pending', 'held']);
type ReleaseState = z.output<typeof ReleaseState>;

const UnderWay = z
  .object({
    id: z.string(),
    state: z.enum(['running', 'paused']),
    phase: z.enum(['entering', 'baking']).describe('entering: workers of the step have not all answered'),
    step: z.int().describe('Which one of its steps, from 1'),
    steps: z.int().describe('How many it has'),
  })
  .meta({ id: 'RolloutUnderWay' });

const ConfigStatus = z
  .object({
    tenant_id: z.string(),
    version: z.int().describe('The newest release'),
    stable_version: z.int().describe('The release that is served where no newer one is rolled out'),
    state: ReleaseState.describe(
      'Of the newest release; none: there is none yet; held: it is not published, or rolled out step by step',
    ),
    rollout: UnderWay.nullable().describe('Set while the newest release is rolled out'),
    moving: Moving.nullable().describe('Set while it moves to another placement; null: it runs where it shall'),
    store: z
      .enum(['here', 'away'])
      .describe('The config store; away: nobody knows who runs what, so no workers are shown, and none is counted'),
    summary: Summary,
    workers: z.array(WorkerState),
  })
  .meta({ id: 'ConfigStatus' });

/** Before the first release no worker has anything to run, and all of them do. */
const nothingWanted: Answers = {
  workers: [],
  summary: { workers: 0, applied: 0, refused: 0, lagging: 0, silent: 0, lost: 0, converged: true },
};

/** What is known of workers while the store is away. */
const nobodyKnows: Answers = { workers: [], summary: { ...nothingWanted.summary, converged: false } };

async function underWay(
  { client }: Context['db'],
  rollout_id: string | null,
): Promise<z.output<typeof UnderWay> | null> {
  const row = rollout_id === null ? null : await client.rollout.findUnique({ where: { rollout_id } });
  // It may have ended meanwhile.
  if (row?.state !== 'running' && row?.state !== 'paused') return null;
  const { state, phase, step, steps } = row;
  return { id: row.rollout_id, state, phase, step: step + 1, steps: (steps as unknown[]).length };
}

function storeAway(error: unknown): null {
  if (error instanceof StoreUnavailable) return null;
  throw error;
}

export function configRoutes(context: Context): FastifyPluginAsyncZod {
  const { db, changes, publisher } = context;

  const reload = async (request: FastifyRequest, reply: FastifyReply, tenant_id: string) => {
    const query = request.query as z.output<typeof WriteQuery>;
    // Whoever asks for this may have seen a worker refuse what lies in the store.
    const since = performance.now();
    await within(patienceOf(query, since), publisher.mend(tenant_id));
    const changed = await changes.apply({
      ...originOf(request, { ...query, message: query.message || 'reload' }),
      tenant_id,
      action: 'config.reload',
      target: 'config',
      force: true,
      edit: (state: TenantState) => ({
        tenant: state.document.tenant,
        entries: entriesOf(state.document.config),
        faults: [],
      }),
    });
    return finish(context, request, reply, query, changed, since);
  };

  const status = async (tenant_id: string) => {
    const row = await db.client.tenant.findUnique({ where: { tenant_id } });
    if (!row) throw notFound('tenant', tenant_id);
    const { version, stable_version } = row;
    const where = { tenant_id_version: { tenant_id, version } };
    const [release, wanted, rollout] = await Promise.all([
      db.client.release.findUnique({ where, select: { state: true } }),
      wantedHead(db.client, tenant_id),
      underWay(db, row.rollout_id),
    ]);
    const answered =
      release === null
        ? nothingWanted
        : await answersOf(
            context,
            tenant_id,
            wanted ? (worker) => chosen(wanted.head, worker)?.version ?? null : everywhere(0, placementOf(row)),
          ).catch(storeAway);
    const state: ReleaseState =
      release === null ? 'none' : release.state === 'superseded' ? 'published' : release.state;
    return {
      tenant_id,
      version,
      stable_version,
      state,
      rollout,
      moving: movingOf(row),
      store: answered ? 'here' : 'away',
      ...(answered ?? nobodyKnows),
    } as const;
  };

  return async (app) => {
    await app.register(documentRoutes(liveTarget(context), 'tenant'));
    await app.register(documentRoutes(globalTarget(context), 'global'));
    app.get(
      '/tenants/:tenant_id/config/status',
      {
        config: access('read', 'tenant'),
        schema: {
          tags: ['config'],
          summary: 'Which worker runs which version, or refused it and why',
          params: TenantParams,
          response: { 200: ConfigStatus },
        },
      },
      (request) => status(request.params.tenant_id),
    );
    app.post(
      '/tenants/:tenant_id/reload',
      {
        config: access('write', 'tenant'),
        schema: {
          tags: ['config'],
          summary: 'Publish the config again, as a new release; mends what was damaged in the config store',
          params: TenantParams,
          querystring: WriteQuery,
          response: { 200: ReleaseResult },
        },
      },
      (request, reply) => reload(request, reply, request.params.tenant_id),
    );

    app.get(
      '/config/global/status',
      {
        config: access('read', 'all'),
        schema: {
          tags: ['config'],
          summary: 'Which worker runs which version of the shared config',
          response: { 200: ConfigStatus },
        },
      },
      () => status(GLOBAL),
    );
    app.post(
      '/config/reload',
      {
        config: access('admin', 'all'),
        schema: {
          tags: ['config'],
          summary: 'Publish the shared config again, as a new release',
          querystring: WriteQuery,
          response: { 200: ReleaseResult },
        },
      },
      (request, reply) => reload(request, reply, GLOBAL),
    );
  };
}
