import { StaticUser } from '@arcus/gateway/users/user.ts';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Prisma } from '../../db/open.ts';
import type { Context } from '../../deps.ts';
import { demand, etagOf, notModified, preconditionOf } from '../../http/etag.ts';
import { TenantParams, Timestamp } from '../../http/ids.ts';
import { cursorKey, PageQuery, page, pageOf } from '../../http/pagination.ts';
import { invalid, notFound, Problem } from '../../http/problem.ts';
import { finish, originOf, WriteQuery } from '../../http/write.ts';
import { access } from '../../plugins/auth.ts';
import { parsedLater } from '../../plugins/schemas.ts';
import { findUser } from '../releases/document.ts';
import { credentialOf } from '../releases/rows.ts';
import type { TenantState } from '../releases/state.ts';
import { isObject } from '../resources/edit.ts';
import { mustExist } from '../resources/routes.ts';
import { deleteUser, putUser } from './edit.ts';

const Params = TenantParams.extend({ username: z.string().min(1).max(255).describe('Name the user logs in with') });

const UserBody = StaticUser.omit({ name: true })
  .extend({
    username: StaticUser.shape.name.optional().describe('Name the user logs in with; as in the path if absent'),
    user_group: z.string().optional().describe('Its group; on change if absent: the one it is in'),
  })
  .meta({ id: 'UserWrite' });

const User = StaticUser.omit({ name: true, password: true, password_hash: true, token: true })
  .extend({
    username: z.string(),
    user_group: z.string(),
    credential: z.enum(['argon2id', 'sha1', 'none']).describe('sha1: imported and weak; none: cannot log in'),
    created_at: Timestamp,
    updated_at: Timestamp,
  })
  .meta({ id: 'User' });
type User = z.output<typeof User>;

function userBody(row: Prisma.UserModel): User {
  const { name: _, password: _1, password_hash: _2, token: _3, ...rest } = row.config as unknown as StaticUser;
  return {
    username: row.username,
    user_group: row.user_group,
    credential: row.credential as User['credential'],
    ...rest,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

export function userRoutes(context: Context): FastifyPluginAsyncZod {
  const { db, changes, sealer } = context;

  const rowOf = (tenant_id: string, username: string) =>
    db.client.user.findUnique({ where: { tenant_id_username: { tenant_id, username } } });
  const revisionOf = async (state: TenantState, username: string) =>
    findUser(state.document.config, username) ? ((await rowOf(state.row.tenant_id, username))?.revision ?? null) : null;
  /** What a write answers: the user as the document has it, with the dates of its row. */
  const shown = (state: TenantState, username: string, created: Date): User => {
    const { user, group } = findUser(state.document.config, username)!;
    return userBody({
      tenant_id: state.row.tenant_id,
      username,
      user_group: group.name,
      blocked: user.blocked ?? false,
      credential: credentialOf(user),
      config: user as unknown as Prisma.JsonValue,
      revision: state.row.changes,
      created_at: created,
      updated_at: state.row.updated_at,
    });
  };

  return async (app) => {
    app.get(
      '/tenants/:tenant_id/users',
      {
        config: access('read', 'tenant'),
        schema: {
          tags: ['users'],
          summary: 'List users, by name',
          params: TenantParams,
          querystring: PageQuery.extend({
            user_group: z.string().max(63).optional().describe('Only of this group'),
            blocked: z.enum(['true', 'false']).optional().describe('Only blocked ones, or only others'),
          }),
          response: { 200: pageOf(User) },
        },
      },
      async (request) => {
        const { tenant_id } = request.params;
        const { limit, cursor, user_group, blocked } = request.query;
        const after = cursorKey(cursor, z.string()) ?? '';
        const rows = await db.client.user.findMany({
          where: {
            tenant_id,
            username: { gt: after },
            ...(user_group === undefined ? {} : { user_group }),
            ...(blocked === undefined ? {} : { blocked: blocked === 'true' }),
          },
          orderBy: { username: 'asc' },
          take: limit + 1,
        });
        if (rows.length === 0) await mustExist(context, tenant_id);
        return page(rows, limit, (row) => row.username, userBody);
      },
    );

    app.post(
      '/tenants/:tenant_id/users',
      {
        config: access('write', 'tenant'),
        validatorCompiler: parsedLater,
        schema: {
          tags: ['users'],
          summary: 'Create a user',
          params: TenantParams,
          querystring: WriteQuery,
          body: UserBody,
          response: { 201: User },
        },
      },
      async (request, reply) => {
        const { tenant_id } = request.params;
        const body: unknown = request.body;
        const username = isObject(body) ? body.username : undefined;
        if (typeof username !== 'string') {
          throw invalid([{ pointer: isObject(body) ? '/username' : '', code: 'required', message: 'is required' }]);
        }
        const changed = await changes.apply({
          ...originOf(request, request.query),
          tenant_id,
          action: 'users.create',
          target: `users/${username}`,
          edit: (state) => {
            if (findUser(state.document.config, username)) {
              throw new Problem('conflict', `The user "${username}" exists already`);
            }
            return putUser(state, sealer, username, body);
          },
        });
        await finish(context, request, reply, request.query, changed);
        reply.code(201).header('etag', etagOf(changed.state.row.changes));
        reply.header('location', `/api/v1/tenants/${tenant_id}/users/${encodeURIComponent(username)}`);
        return shown(changed.state, username, changed.state.row.updated_at);
      },
    );

    app.get(
      '/tenants/:tenant_id/users/:username',
      {
        config: access('read', 'tenant'),
        schema: { tags: ['users'], summary: 'Get a user', params: Params, response: { 200: User } },
      },
      async (request, reply) => {
        const row = await rowOf(request.params.tenant_id, request.params.username);
        if (!row) throw notFound();
        if (notModified(request, reply, row.revision)) return reply;
        return userBody(row);
      },
    );

    app.put(
      '/tenants/:tenant_id/users/:username',
      {
        config: access('write', 'tenant'),
        validatorCompiler: parsedLater,
        schema: {
          tags: ['users'],
          summary: 'Replace a user, or create it',
          description: 'Without password, password_hash and token the credential stays as it is.',
          params: Params,
          querystring: WriteQuery,
          body: UserBody,
          response: { 200: User, 201: User },
        },
      },
      async (request, reply) => {
        const { tenant_id, username } = request.params;
        let revision: number | null = null;
        const changed = await changes.apply({
          ...originOf(request, request.query),
          tenant_id,
          action: 'users.put',
          target: `users/${username}`,
          edit: async (state) => {
            revision = await revisionOf(state, username);
            demand(preconditionOf(request), revision);
            return putUser(state, sealer, username, request.body);
          },
        });
        await finish(context, request, reply, request.query, changed);
        const row = await rowOf(tenant_id, username);
        if (!row) throw notFound();
        const written = changed.rows.users.put.length > 0;
        reply.header('etag', etagOf(written ? changed.state.row.changes : row.revision));
        return reply
          .code(revision === null ? 201 : 200)
          .send(written ? shown(changed.state, username, row.created_at) : userBody(row));
      },
    );

    app.delete(
      '/tenants/:tenant_id/users/:username',
      {
        config: access('write', 'tenant'),
        schema: {
          tags: ['users'],
          summary: 'Delete a user',
          params: Params,
          querystring: WriteQuery,
          response: { 204: z.null().describe('Deleted') },
        },
      },
      async (request, reply) => {
        const { tenant_id, username } = request.params;
        const changed = await changes.apply({
          ...originOf(request, request.query),
          tenant_id,
          action: 'users.delete',
          target: `users/${username}`,
          edit: async (state) => {
            const revision = await revisionOf(state, username);
            if (revision === null) throw notFound();
            demand(preconditionOf(request), revision);
            return deleteUser(state, username);
          },
        });
        await finish(context, request, reply, request.query, changed);
        return reply.code(204).send(null);
      },
    );
  };
}
