import { Labels } from '@arcus/control/release.ts';
import { entriesOf } from '@arcus/gateway/check.ts';
import { Config, parseEntries, TenantInfo } from '@arcus/gateway/config.ts';
import { ResourceLimits, StoredLimits } from '@arcus/gateway/limits.ts';
import { runSliced } from '@arcus/gateway/slices.ts';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Context } from '../../deps.ts';
import { demand, etagOf, notModified, preconditionOf } from '../../http/etag.ts';
import { GLOBAL, TenantId, TenantParams, Timestamp } from '../../http/ids.ts';
import { cursorKey, PageQuery, page, pageOf } from '../../http/pagination.ts';
import { notFound, Problem } from '../../http/problem.ts';
import { Line } from '../../http/text.ts';
import { DOCUMENT_LIMIT, finish, originOf, WriteQuery } from '../../http/write.ts';
import { access } from '../../plugins/auth.ts';
import { readRelease } from '../releases/history.ts';
import type { TenantRow } from '../releases/state.ts';
import { deleteTenant } from './delete.ts';
import { Moving, movingOf } from './moving.ts';

/** Bytes of JSON: it is read with each list of tenants. */
const METADATA_LIMIT = 16 * 1024;
const Metadata = z
  .record(z.string().max(255), z.unknown())
  .refine((value) => Buffer.byteLength(JSON.stringify(value)) <= METADATA_LIMIT, {
    message: `must be at most ${METADATA_LIMIT} bytes of JSON`,
  })
  .describe('Anything the caller wants to keep with the tenant, 16 KiB of JSON at most');
const Status = TenantInfo.shape.status;
const Placement = Labels.nullable()
  .default(null)
  // No label asked for is the same as no choice.
  .transform((labels) => (labels && Object.keys(labels).length > 0 ? labels : null))
  .describe('Only workers with all these labels run it; null: all workers');
const TenantName = Line(255).describe('Name for people');

const own = {
  tenant_name: TenantName,
  status: Status.default('active'),
  resource_limits: ResourceLimits.default({}),
  metadata: Metadata.default({}),
  placement: Placement,
};
export const TenantUpdate = z.strictObject(own).meta({ id: 'TenantUpdate' });
export const TenantCreate = z
  .strictObject({
    tenant_id: TenantId,
    ...own,
    config: Config.optional().describe('Its first config; empty if absent'),
  })
  .meta({ id: 'TenantCreate' });
/** `config` is parsed with the whole, so that all faults come at once. */
const TenantCreateEnvelope = z.strictObject({ tenant_id: TenantId, ...own, config: z.unknown().optional() });

export const Tenant = z
  .object({
    tenant_id: z.string(),
    tenant_name: z.string(),
    status: Status,
    resource_limits: ResourceLimits,
    metadata: Metadata,
    placement: Labels.nullable().describe('Only workers with all these labels run it; null: all workers'),
    moving: Moving.nullable().describe('Set while it moves to another placement'),
    version: z.int().describe('Its newest release; 0 before the first'),
    created_at: Timestamp,
    updated_at: Timestamp,
  })
  .meta({ id: 'Tenant' });

export function tenantBody(row: TenantRow): z.output<typeof Tenant> {
  return {
    tenant_id: row.tenant_id,
    tenant_name: row.tenant_name,
    status: row.status,
    resource_limits: StoredLimits.parse(row.resource_limits),
    metadata: row.metadata as z.output<typeof Metadata>,
    placement: row.placement as z.output<typeof Labels> | null,
    moving: movingOf(row),
    version: row.version,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

/**
 * A change of status waits for nobody's decision about a held release: what counts is how the tenant is served. It can be
 * held only when it lets traffic through: whoever stops a tenant is told that it is stopped.
 */
async function brakeOf(
  db: Context['db'],
  publish: 'now' | 'hold' | undefined,
  status: TenantRow['status'],
  { tenant_id, version, stable_version, ...row }: TenantRow,
): Promise<string | undefined> {
  const held = version !== stable_version;
  if (publish === 'hold' ? status === 'active' : publish === 'now' || !held) return undefined;
  const served = held ? (await readRelease(db, tenant_id, stable_version)).document.tenant.status : row.status;
  return served === status ? undefined : `the tenant is ${status} now; all workers run the stable release`;
}

/** `_global` is no tenant that could be made, changed or deleted; its config has routes of its own. */
function notGlobal(tenant_id: string): void {
  if (tenant_id === GLOBAL)
    throw new Problem('forbidden', 'The shared config belongs to no tenant: see /config/global');
}

export function tenantRoutes(context: Context): FastifyPluginAsyncZod {
  const { db, changes } = context;
  return async (app) => {
    app.get(
      '/tenants',
      {
        config: access('read', 'own'),
        schema: {
          tags: ['tenants'],
          summary: 'List tenants, by id',
          querystring: PageQuery.extend({ status: Status.optional().describe('Only tenants of this status') }),
          response: { 200: pageOf(Tenant) },
        },
      },
      async (request) => {
        const { limit, cursor, status } = request.query;
        const after = cursorKey(cursor, z.string()) ?? '';
        const rows = await db.client.tenant.findMany({
          where: {
            tenant_id: {
              gt: after,
              not: GLOBAL,
              ...(request.actor.tenant_id ? { equals: request.actor.tenant_id } : {}),
            },
            ...(status ? { status } : {}),
          },
          orderBy: { tenant_id: 'asc' },
          take: limit + 1,
        });
        return page(rows, limit, (row) => row.tenant_id, tenantBody);
      },
    );

    app.post(
      '/tenants',
      {
        config: access('admin', 'all'),
        bodyLimit: DOCUMENT_LIMIT,
        validatorCompiler: (route) =>
          app.validatorCompiler!(route.httpPart === 'body' ? { ...route, schema: TenantCreateEnvelope } : route),
        schema: {
          tags: ['tenants'],
          summary: 'Create a tenant, with its config if you like',
          querystring: WriteQuery,
          body: TenantCreate,
          response: { 201: Tenant },
        },
      },
      async (request, reply) => {
        const body = request.body as unknown as z.output<typeof TenantCreateEnvelope>;
        const { tenant_id, tenant_name, status } = body;
        const parsed = await runSliced(parseEntries(body.config === undefined ? {} : body.config));
        const changed = await changes.apply({
          ...originOf(request, request.query),
          tenant_id,
          action: 'tenant.create',
          target: tenant_id,
          create: true,
          edit: () => ({
            tenant: { tenant_id, tenant_name, status, resource_limits: body.resource_limits },
            metadata: body.metadata,
            placement: body.placement,
            ...parsed,
          }),
        });
        await finish(context, request, reply, request.query, changed);
        const { row } = changed.state;
        reply.code(201).header('etag', etagOf(row.revision)).header('location', `/api/v1/tenants/${tenant_id}`);
        return tenantBody(row);
      },
    );

    app.get(
      '/tenants/:tenant_id',
      {
        config: access('read', 'tenant'),
        schema: { tags: ['tenants'], summary: 'Get a tenant', params: TenantParams, response: { 200: Tenant } },
      },
      async (request, reply) => {
        const row = await db.client.tenant.findUnique({ where: { tenant_id: request.params.tenant_id } });
        if (!row || row.tenant_id === GLOBAL) throw notFound('tenant', request.params.tenant_id);
        if (notModified(request, reply, row.revision)) return reply;
        return tenantBody(row);
      },
    );

    app.put(
      '/tenants/:tenant_id',
      {
        config: access('admin', 'tenant'),
        schema: {
          tags: ['tenants'],
          summary: 'Change a tenant’s own fields',
          description:
            'A change of `status` is served at once, also while a release is held or rolled out: without ?publish= it ' +
            'goes out with the stable config, what is held stays held, and a rollout is aborted. A tenant that is stopped ' +
            '(inactive or suspended) is so even with ?publish=hold, with all its own fields. A new placement is taken at ' +
            'once, whatever ?publish= says: it is no part of a release.',
          params: TenantParams,
          querystring: WriteQuery,
          body: TenantUpdate,
          response: { 200: Tenant },
        },
      },
      async (request, reply) => {
        const { tenant_id } = request.params;
        notGlobal(tenant_id);
        const { tenant_name, status, resource_limits, metadata, placement } = request.body;
        const changed = await changes.apply({
          ...originOf(request, request.query),
          tenant_id,
          action: 'tenant.put',
          target: tenant_id,
          edit: async (state) => {
            demand(preconditionOf(request), state.row.revision);
            return {
              tenant: { tenant_id, tenant_name, status, resource_limits },
              metadata,
              placement,
              entries: entriesOf(state.document.config),
              faults: [],
              brake: await brakeOf(db, request.query.publish, status, state.row),
            };
          },
        });
        await finish(context, request, reply, request.query, changed);
        reply.header('etag', etagOf(changed.state.row.revision));
        return tenantBody(changed.state.row);
      },
    );

    app.delete(
      '/tenants/:tenant_id',
      {
        config: access('admin', 'tenant'),
        schema: {
          tags: ['tenants'],
          summary: 'Delete a tenant, all it has, and its traffic',
          params: TenantParams,
          response: { 204: z.null().describe('Deleted; workers drop it') },
        },
      },
      async (request, reply) => {
        const { tenant_id } = request.params;
        notGlobal(tenant_id);
        const removed = await deleteTenant(context, tenant_id, originOf(request, { message: '' }), (row) =>
          demand(preconditionOf(request), row.revision),
        );
        return reply
          .code(204)
          .header('arcus-release-state', removed ? 'published' : 'pending')
          .send(null);
      },
    );
  };
}
