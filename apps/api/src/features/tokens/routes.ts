import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Prisma } from '../../db/open.ts';
import { isPrismaError } from '../../db/open.ts';
import type { Context } from '../../deps.ts';
import { demand, notModified, preconditionOf } from '../../http/etag.ts';
import { TenantId, Timestamp } from '../../http/ids.ts';
import { cursorKey, PageQuery, page, pageOf } from '../../http/pagination.ts';
import { invalid, notFound, Problem } from '../../http/problem.ts';
import { Line } from '../../http/text.ts';
import { access, roles } from '../../plugins/auth.ts';
import { audit } from '../audit/record.ts';
import { createToken } from './store.ts';

const TokenCreate = z
  .strictObject({
    name: Line(255).describe('Who or what uses it; shown in audit events'),
    role: z.enum(roles).describe('admin: everything; tenant: one tenant; viewer: reads'),
    tenant_id: TenantId.nullable().default(null).describe('Needed for tenant; for viewer: reads only this one'),
    expires_at: z.iso.datetime({ offset: true }).nullable().default(null).describe('RFC 3339; null: does not expire'),
  })
  .refine((body) => body.role !== 'tenant' || body.tenant_id !== null, {
    path: ['tenant_id'],
    message: 'is required for a tenant’s token',
  })
  .refine((body) => body.role !== 'admin' || body.tenant_id === null, {
    path: ['tenant_id'],
    message: 'must be absent: an admin is bound to no tenant',
  })
  .meta({ id: 'TokenCreate' });

const Token = z
  .object({
    token_id: z.string(),
    name: z.string(),
    role: z.enum(roles),
    tenant_id: z.string().nullable(),
    created_by: z.string(),
    created_at: Timestamp,
    expires_at: Timestamp.nullable(),
    revoked_at: Timestamp.nullable(),
    last_used_at: Timestamp.nullable().describe('To the minute'),
  })
  .meta({ id: 'Token' });

const NewToken = Token.extend({ token: z.string().describe('The token itself, shown this once') }).meta({
  id: 'NewToken',
});

const iso = (at: Date | null): string | null => at?.toISOString() ?? null;

const tokenBody = (row: Prisma.ApiTokenModel): z.output<typeof Token> => ({
  token_id: row.token_id,
  name: row.name,
  role: row.role,
  tenant_id: row.tenant_id,
  created_by: row.created_by,
  created_at: row.created_at.toISOString(),
  expires_at: iso(row.expires_at),
  revoked_at: iso(row.revoked_at),
  last_used_at: iso(row.last_used_at),
});

const Params = z.strictObject({ token_id: z.string().min(1).max(32) });
const revokedAlready = (): Problem => new Problem('not_found', 'This token is revoked already');
/** A token changes once, when it is revoked. */
const revisionOf = (row: Prisma.ApiTokenModel): number => (row.revoked_at === null ? 1 : 2);

export function tokenRoutes({ db, now }: Context): FastifyPluginAsyncZod {
  const find = async (token_id: string) => {
    const row = await db.client.apiToken.findUnique({ where: { token_id } });
    if (!row) throw notFound('token', token_id);
    return row;
  };
  return async (app) => {
    app.get(
      '/tokens',
      {
        config: access('admin', 'all'),
        schema: {
          tags: ['tokens'],
          summary: 'List tokens, without their secrets',
          querystring: PageQuery.extend({ tenant_id: TenantId.optional().describe('Only of this tenant') }),
          response: { 200: pageOf(Token) },
        },
      },
      async (request) => {
        const { limit, cursor, tenant_id } = request.query;
        const after = cursorKey(cursor, z.string()) ?? '';
        const rows = await db.client.apiToken.findMany({
          where: { token_id: { gt: after }, ...(tenant_id ? { tenant_id } : {}) },
          orderBy: { token_id: 'asc' },
          take: limit + 1,
        });
        return page(rows, limit, (row) => row.token_id, tokenBody);
      },
    );

    app.post(
      '/tokens',
      {
        config: access('admin', 'all'),
        schema: {
          tags: ['tokens'],
          summary: 'Create a token; it is shown this once',
          body: TokenCreate,
          response: { 201: NewToken },
        },
      },
      async (request, reply) => {
        const { name, role, tenant_id, expires_at } = request.body;
        try {
          const wanted = { name, role, tenant_id, expires_at: expires_at === null ? null : new Date(expires_at) };
          const by = { created_by: request.actor.name, request_id: request.id };
          const { token, row } = await createToken(db, { ...wanted, ...by }, now());
          reply.code(201).header('location', `/api/v1/tokens/${row.token_id}`).header('cache-control', 'no-store');
          reply.header('etag', `"${revisionOf(row)}"`);
          return { ...tokenBody(row), token };
        } catch (error) {
          if (!isPrismaError(error, 'P2003')) throw error;
          throw invalid([{ pointer: '/tenant_id', code: 'unknown_reference', message: 'there is no such tenant' }]);
        }
      },
    );

    app.get(
      '/tokens/:token_id',
      {
        config: access('admin', 'all'),
        schema: {
          tags: ['tokens'],
          summary: 'Get a token, without its secret',
          params: Params,
          response: { 200: Token },
        },
      },
      async (request, reply) => {
        const row = await find(request.params.token_id);
        if (notModified(request, reply, revisionOf(row))) return reply;
        return tokenBody(row);
      },
    );

    app.delete(
      '/tokens/:token_id',
      {
        config: access('admin', 'all'),
        schema: {
          tags: ['tokens'],
          summary: 'Revoke a token, at once',
          params: Params,
          response: { 204: z.null().describe('Revoked') },
        },
      },
      async (request, reply) => {
        const row = await find(request.params.token_id);
        if (row.revoked_at !== null) throw revokedAlready();
        demand(preconditionOf(request), revisionOf(row));
        const at = new Date(now());
        const { token_id, tenant_id, name, role } = row;
        await db.write(async (tx) => {
          const revoked = await tx.apiToken.updateMany({
            where: { token_id, revoked_at: null },
            data: { revoked_at: at },
          });
          // Somebody else was faster.
          if (revoked.count === 0) throw revokedAlready();
          await audit(
            tx,
            {
              tenant_id: tenant_id ?? '',
              actor: request.actor.name,
              action: 'token.revoke',
              target: `tokens/${token_id}`,
              before: { name, role, tenant_id },
              after: null,
              version: null,
              request_id: request.id,
            },
            at,
          );
        });
        return reply.code(204).send(null);
      },
    );
  };
}
