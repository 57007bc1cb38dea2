import type { Sealer } from '@arcus/control/seal.ts';
import { StaticUser } from '@arcus/gateway/users/user.ts';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Prisma } from '../../db/open.ts';
import { demand, etagOf, notModified, preconditionOf, type Tag } from '../../http/etag.ts';
import { Timestamp } from '../../http/ids.ts';
import { cursorKey, PageQuery, page, pageOf } from '../../http/pagination.ts';
import { invalid, notFound, Problem } from '../../http/problem.ts';
import { access } from '../../plugins/auth.ts';
import { parsedLater } from '../../plugins/schemas.ts';
import { findUser } from '../releases/document.ts';
import { credentialOf } from '../releases/rows.ts';
import type { TenantState } from '../releases/state.ts';
import { isObject } from '../resources/edit.ts';
import { located, type Target, type TargetParams } from '../targets/target.ts';
import { deleteUser, putUser } from './edit.ts';

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

export function userRoutes(target: Target, sealer: Sealer): FastifyPluginAsyncZod {
  const Params = target.params.extend({
    username: z.string().min(1).max(255).describe('Name the user logs in with'),
  });
  const url = `${target.path}/users`;

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
      url,
      {
        config: access('read', 'tenant'),
        schema: {
          tags: ['users'],
          summary: `List users${target.where}, by name`,
          params: target.params,
          querystring: PageQuery.extend({
            user_group: z.string().max(63).optional().describe('Only of this group'),
            blocked: z.enum(['true', 'false']).optional().describe('Only blocked ones, or only others'),
          }),
          response: { 200: pageOf(User) },
        },
      },
      async (request) => {
        const { limit, cursor, user_group, blocked } = request.query;
        const rows = await target.users(paramsOf(request), {
          after: cursorKey(cursor, z.string()) ?? '',
          take: limit + 1,
          user_group,
          blocked: blocked === undefined ? undefined : blocked === 'true',
        });
        return page(rows, limit, (row) => row.username, userBody);
      },
    );

    app.post(
      url,
      {
        config: access('write', 'tenant'),
        validatorCompiler: parsedLater,
        schema: {
          tags: ['users'],
          summary: `Create a user${target.where}`,
          params: target.params,
          querystring: target.query,
          body: UserBody,
          response: { 201: User },
        },
      },
      async (request, reply) => {
        const body: unknown = request.body;
        if (!isObject(body)) throw invalid([{ pointer: '', code: 'invalid_type', message: 'must be an object' }]);
        const { username } = body;
        if (username === undefined) {
          throw invalid([{ pointer: '/username', code: 'required', message: 'is required' }]);
        }
        if (typeof username !== 'string') {
          throw invalid([{ pointer: '/username', code: 'invalid_type', message: 'must be a string' }]);
        }
        const { state, tags } = await target.write(request, reply, {
          action: 'users.create',
          target: `users/${username}`,
          edit: (state) => {
            if (findUser(state.document.config, username)) {
              throw new Problem('conflict', `The user "${username}" exists already`);
            }
            return putUser(state, sealer, username, body);
          },
        });
        reply.code(201).header('etag', etagOf((await tags.user(username))!));
        reply.header('location', `${located(target, paramsOf(request))}/users/${encodeURIComponent(username)}`);
        return shown(state, username, state.row.updated_at);
      },
    );

    app.get(
      `${url}/:username`,
      {
        config: access('read', 'tenant'),
        schema: { tags: ['users'], summary: `Get a user${target.where}`, params: Params, response: { 200: User } },
      },
      async (request, reply) => {
        const found = await target.user(paramsOf(request), usernameOf(request));
        if (!found) throw notFound('user', usernameOf(request));
        if (notModified(request, reply, found.tag)) return reply;
        return userBody(found.value);
      },
    );

    app.put(
      `${url}/:username`,
      {
        config: access('write', 'tenant'),
        validatorCompiler: parsedLater,
        schema: {
          tags: ['users'],
          summary: `Replace a user${target.where}, or create it`,
          description: 'Without password, password_hash and token the credential stays as it is.',
          params: Params,
          querystring: target.query,
          body: UserBody,
          response: { 200: User, 201: User },
        },
      },
      async (request, reply) => {
        const username = usernameOf(request);
        let before: Tag | null = null;
        await target.write(request, reply, {
          action: 'users.put',
          target: `users/${username}`,
          edit: async (state, tags) => {
            before = await tags.user(username);
            demand(preconditionOf(request), before);
            return putUser(state, sealer, username, request.body);
          },
        });
        const found = await target.user(paramsOf(request), username);
        if (!found) throw notFound('user', username);
        reply.header('etag', etagOf(found.tag));
        return reply.code(before === null ? 201 : 200).send(userBody(found.value));
      },
    );

    app.delete(
      `${url}/:username`,
      {
        config: access('write', 'tenant'),
        schema: {
          tags: ['users'],
          summary: `Delete a user${target.where}`,
          params: Params,
          querystring: target.query,
          response: { 204: z.null().describe('Deleted') },
        },
      },
      async (request, reply) => {
        const username = usernameOf(request);
        await target.write(request, reply, {
          action: 'users.delete',
          target: `users/${username}`,
          edit: async (state, tags) => {
            const revision = await tags.user(username);
            if (revision === null) throw notFound('user', username);
            demand(preconditionOf(request), revision);
            return deleteUser(state, username);
          },
        });
        return reply.code(204).send(null);
      },
    );
  };
}

const paramsOf = (request: { params: unknown }) => request.params as TargetParams;
const usernameOf = (request: { params: unknown }) => (request.params as { username: string }).username;
