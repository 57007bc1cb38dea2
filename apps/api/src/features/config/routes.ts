import { entriesOf } from '@arcus/gateway/check.ts';
import { Config, parseEntries } from '@arcus/gateway/config.ts';
import { runSliced } from '@arcus/gateway/slices.ts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Context } from '../../deps.ts';
import { demand, etagOf, notModified, preconditionOf } from '../../http/etag.ts';
import { GLOBAL, TenantParams } from '../../http/ids.ts';
import { notFound } from '../../http/problem.ts';
import { DOCUMENT_LIMIT, finish, originOf, ReleaseResult, WriteQuery } from '../../http/write.ts';
import { access } from '../../plugins/auth.ts';
import { parsedLater } from '../../plugins/schemas.ts';
import type { TenantState } from '../releases/state.ts';
import { fleetOf, Summary, WorkerState } from '../releases/status.ts';

const PutQuery = WriteQuery.extend({
  dry_run: z.enum(['true', 'false']).default('false').describe('Check everything, store nothing'),
});

const ConfigStatus = z
  .object({
    tenant_id: z.string(),
    version: z.int().describe('The newest release'),
    state: z.enum(['none', 'published', 'pending']).describe('none: there is no release yet'),
    summary: Summary,
    workers: z.array(WorkerState),
  })
  .meta({ id: 'ConfigStatus' });

const PutResult = ReleaseResult.extend({
  config: Config.optional().describe('With dry_run: the config as it would be stored'),
}).meta({ id: 'ConfigPutResult' });

export function configRoutes(context: Context): FastifyPluginAsyncZod {
  const { db, changes, store } = context;

  const get = async (request: FastifyRequest, reply: FastifyReply, tenant_id: string) => {
    const row = await db.client.tenant.findUnique({ where: { tenant_id }, select: { config_revision: true } });
    if (!row) throw notFound();
    if (notModified(request, reply, row.config_revision)) return reply;
    const state = await changes.states.load(tenant_id);
    if (!state) throw notFound();
    reply.header('etag', etagOf(state.row.config_revision));
    reply.header('arcus-release', String(state.row.version));
    return state.document.config;
  };

  const put = async (request: FastifyRequest, reply: FastifyReply, tenant_id: string) => {
    const query = request.query as z.output<typeof PutQuery>;
    const dryRun = query.dry_run === 'true';
    const parsed = await runSliced(parseEntries(request.body ?? {}));
    const changed = await changes.apply({
      ...originOf(request, query),
      tenant_id,
      action: 'config.put',
      target: 'config',
      dryRun,
      edit: (state) => {
        const precondition = preconditionOf(request);
        // Nothing is overwritten by a dry run: a check of a file needs no ETag.
        if (!dryRun || precondition.ifMatch !== undefined) demand(precondition, state.row.config_revision);
        return { tenant: state.document.tenant, ...parsed, locate: (pointer) => pointer };
      },
    });
    if (dryRun) {
      const { version } = changed.state.row;
      const { document } = changed.state;
      return {
        tenant_id,
        version,
        state: 'dry_run',
        changed: document !== changed.before.document,
        config: document.config,
      };
    }
    const result = await finish(context, request, reply, query, changed);
    reply.header('etag', etagOf(changed.state.row.config_revision));
    return result;
  };

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

  const putSchema = {
    tags: ['config'],
    description:
      'JSON, or YAML as application/yaml. Secrets that were read in sealed form may be sent back as they are.',
    consumes: ['application/json', 'application/yaml'],
    querystring: PutQuery,
    body: Config,
    response: { 200: PutResult },
  };

  return async (app) => {
    app.get(
      '/tenants/:tenant_id/config',
      {
        config: access('read', 'tenant'),
        schema: { tags: ['config'], summary: 'Get the whole config', params: TenantParams, response: { 200: Config } },
      },
      (request, reply) => get(request, reply, request.params.tenant_id) as never,
    );
    app.put(
      '/tenants/:tenant_id/config',
      {
        config: access('write', 'tenant'),
        bodyLimit: DOCUMENT_LIMIT,
        validatorCompiler: parsedLater,
        schema: { ...putSchema, summary: 'Replace the whole config', params: TenantParams },
      },
      (request, reply) => put(request, reply, (request.params as { tenant_id: string }).tenant_id) as never,
    );
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
      '/config/global',
      {
        config: access('read', 'all'),
        schema: { tags: ['config'], summary: 'Get the config that all tenants share', response: { 200: Config } },
      },
      (request, reply) => get(request, reply, GLOBAL) as never,
    );
    app.put(
      '/config/global',
      {
        config: access('admin', 'all'),
        bodyLimit: DOCUMENT_LIMIT,
        validatorCompiler: parsedLater,
        schema: { ...putSchema, summary: 'Replace the config that all tenants share' },
      },
      (request, reply) => put(request, reply, GLOBAL) as never,
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
