import { entriesOf } from '@arcus/gateway/check.ts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Context } from '../../deps.ts';
import { GLOBAL, TenantParams } from '../../http/ids.ts';
import { notFound } from '../../http/problem.ts';
import { finish, originOf, ReleaseResult, WriteQuery } from '../../http/write.ts';
import { access } from '../../plugins/auth.ts';
import type { TenantState } from '../releases/state.ts';
import { fleetOf, Summary, WorkerState } from '../releases/status.ts';
import { globalTarget, liveTarget } from '../targets/live.ts';
import { documentRoutes } from './document.ts';

const ConfigStatus = z
  .object({
    tenant_id: z.string(),
    version: z.int().describe('The newest release'),
    state: z.enum(['none', 'published', 'pending']).describe('none: there is no release yet'),
    summary: Summary,
    workers: z.array(WorkerState),
  })
  .meta({ id: 'ConfigStatus' });

export function configRoutes(context: Context): FastifyPluginAsyncZod {
  const { db, changes, store } = context;

  const reload = async (request: FastifyRequest, reply: FastifyReply, tenant_id: string) => {
    const query = request.query as z.output<typeof WriteQuery>;
    const changed = await changes.apply({
      ...originOf(request, { message: query.message || 'reload' }),
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
    return finish(context, request, reply, query, changed);
  };

  const status = async (tenant_id: string) => {
    const row = await db.client.tenant.findUnique({ where: { tenant_id }, select: { version: true } });
    if (!row) throw notFound();
    const { version } = row;
    const where = { tenant_id_version: { tenant_id, version } };
    const [release, fleet] = await Promise.all([
      db.client.release.findUnique({ where, select: { state: true } }),
      fleetOf(store, tenant_id, version),
    ]);
    const state = release === null ? 'none' : release.state === 'pending' ? 'pending' : 'published';
    return { tenant_id, version, state, ...fleet } as const;
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
          summary: 'Publish the config again, as a new release',
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
