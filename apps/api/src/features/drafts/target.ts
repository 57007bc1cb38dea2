/** A draft as a target of the routes that work on the live config too. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Prisma } from '../../db/open.ts';
import type { Context } from '../../deps.ts';
import { TenantParams } from '../../http/ids.ts';
import { find, findUser, holdsUsers, objectsOf, type StaticUser } from '../releases/document.ts';
import { credentialOf, withoutUsers } from '../releases/rows.ts';
import type { Target, TargetParams, UserRow } from '../targets/target.ts';
import { type DraftView, draftTag } from './drafts.ts';
import { keyOf } from './overlay.ts';

export const DraftParams = TenantParams.extend({ draft: z.string().min(1).max(63).describe('Name of the draft') });

export const DraftResult = z
  .object({
    tenant_id: z.string(),
    draft: z.string(),
    changes: z.int().describe('Objects and users that the draft changes now'),
  })
  .meta({ id: 'DraftResult' });

const NoQuery = z.strictObject({});

export function draftTarget({ drafts, db }: Context): Target {
  const viewOf = (params: TargetParams) =>
    drafts.view(params.tenant_id, (params as z.output<typeof DraftParams>).draft);

  /** Users in the form of rows: dates are those of the live user, or of the change. */
  const rowsOf = async (view: DraftView, users: { group: string; user: StaticUser }[]): Promise<UserRow[]> => {
    const { tenant_id } = view.row;
    const live = await db.client.user.findMany({
      where: { tenant_id, username: { in: users.map(({ user }) => user.name) } },
      select: { username: true, created_at: true, updated_at: true, revision: true },
    });
    const known = new Map(live.map((row) => [row.username, row]));
    return users.map(({ group, user }) => {
      const change = view.changes.get(keyOf('users', user.name));
      const row = known.get(user.name);
      const at = change?.updated_at ?? row?.updated_at ?? view.row.updated_at;
      return {
        tenant_id,
        username: user.name,
        user_group: group,
        blocked: user.blocked ?? false,
        credential: credentialOf(user),
        config: user as unknown as Prisma.JsonValue,
        revision: row?.revision ?? 0,
        created_at: row?.created_at ?? at,
        updated_at: at,
      };
    });
  };

  return {
    where: ' in a draft',
    path: '/tenants/:tenant_id/drafts/:draft',
    params: DraftParams,
    query: NoQuery,
    documentQuery: NoQuery,
    result: DraftResult,

    async objects(params, family, { after, take, type }) {
      const { state } = await viewOf(params);
      return objectsOf(state.document.config, family)
        .filter((object) => object.name > after && (type === undefined || object.type === type))
        .slice(0, take)
        .map(withoutUsers);
    },
    async object(params, family, name) {
      const view = await viewOf(params);
      const object = find(objectsOf(view.state.document.config, family), name);
      const tag = object && (await drafts.tags(view).object(family, name));
      return object && tag ? { value: withoutUsers(object), tag } : null;
    },
    async users(params, { after, take, user_group, blocked }) {
      const view = await viewOf(params);
      const found: { group: string; user: StaticUser }[] = [];
      for (const group of objectsOf(view.state.document.config, 'user_groups')) {
        if (!holdsUsers(group) || (user_group !== undefined && group.name !== user_group)) continue;
        let taken = 0;
        for (const user of group.static_users) {
          if (user.name <= after || (blocked !== undefined && (user.blocked ?? false) !== blocked)) continue;
          found.push({ group: group.name, user });
          if (++taken === take) break;
        }
      }
      found.sort((a, b) => (a.user.name < b.user.name ? -1 : 1));
      return rowsOf(view, found.slice(0, take));
    },
    async user(params, username) {
      const view = await viewOf(params);
      const found = findUser(view.state.document.config, username);
      const tag = found && (await drafts.tags(view).user(username));
      if (!found || !tag) return null;
      const [row] = await rowsOf(view, [{ group: found.group.name, user: found.user }]);
      return { value: row!, tag };
    },
    async config(params) {
      const view = await viewOf(params);
      return {
        tag: drafts.tags(view).config,
        load: async () => ({ config: view.state.document.config, version: view.live.row.version }),
      };
    },

    async write(request: FastifyRequest, reply: FastifyReply, write) {
      const { tenant_id, draft } = request.params as z.output<typeof DraftParams>;
      const origin = { actor: request.actor.name, request_id: request.id };
      const view = await drafts.write(tenant_id, draft, origin, write);
      reply.header('arcus-draft', `${draft}; changes=${view.changes.size}; tag="${draftTag(view.row)}"`);
      const result = { tenant_id, draft, changes: view.changes.size };
      return { state: view.state, tags: drafts.tags(view), result };
    },
  };
}
