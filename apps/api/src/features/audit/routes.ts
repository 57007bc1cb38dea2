import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Prisma } from '../../db/open.ts';
import type { Context } from '../../deps.ts';
import { TenantParams, Timestamp } from '../../http/ids.ts';
import { cursorKey, PageQuery, page, pageOf } from '../../http/pagination.ts';
import { access } from '../../plugins/auth.ts';
import { mustExist } from '../targets/live.ts';

const AuditEvent = z
  .object({
    event_id: z.string(),
    at: Timestamp,
    tenant_id: z.string().describe('Empty for what belongs to no tenant'),
    actor: z.string().describe('Name of the token'),
    action: z.string(),
    target: z.string(),
    before: z.unknown().describe('What it was, without secrets; of a list of more than 50 items the part that differs'),
    after: z.unknown().describe('What it became, as before'),
    version: z.int().nullable().describe('The release that holds the change'),
    request_id: z.string(),
  })
  .meta({ id: 'AuditEvent' });

const Query = PageQuery.extend({
  actor: z.string().max(255).optional().describe('Only by this one'),
  action: z.string().max(64).optional().describe('Only of this action'),
});

const eventBody = (row: Prisma.AuditEventModel): z.output<typeof AuditEvent> => ({
  ...row,
  event_id: String(row.event_id),
  at: row.at.toISOString(),
});

export function auditRoutes(context: Context): FastifyPluginAsyncZod {
  const list = async (query: z.output<typeof Query>, tenant_id: string | undefined) => {
    const { limit, cursor, actor, action } = query;
    const before = cursorKey(cursor, z.string().regex(/^\d{1,19}$/));
    const rows = await context.db.client.auditEvent.findMany({
      where: {
        ...(tenant_id === undefined ? {} : { tenant_id }),
        ...(actor === undefined ? {} : { actor }),
        ...(action === undefined ? {} : { action }),
        ...(before === undefined ? {} : { event_id: { lt: BigInt(before) } }),
      },
      orderBy: { event_id: 'desc' },
      take: limit + 1,
    });
    return page(rows, limit, (row) => String(row.event_id), eventBody);
  };

  return async (app) => {
    app.get(
      '/audit',
      {
        config: access('read', 'all'),
        schema: {
          tags: ['audit'],
          summary: 'List who changed what, newest first',
          querystring: Query.extend({ tenant_id: z.string().max(63).optional().describe('Only of this tenant') }),
          response: { 200: pageOf(AuditEvent) },
        },
      },
      (request) => list(request.query, request.query.tenant_id),
    );
    app.get(
      '/tenants/:tenant_id/audit',
      {
        config: access('read', 'tenant'),
        schema: {
          tags: ['audit'],
          summary: 'List who changed what of a tenant, newest first',
          params: TenantParams,
          querystring: Query,
          response: { 200: pageOf(AuditEvent) },
        },
      },
      async (request) => {
        await mustExist(context, request.params.tenant_id);
        return list(request.query, request.params.tenant_id);
      },
    );
  };
}
