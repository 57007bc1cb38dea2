/** The live config of a tenant: each write makes a release. */
import { type AnyObject, Config } from '@arcus/gateway/config.ts';
import { z } from 'zod';
import type { Context } from '../../deps.ts';
import { GLOBAL, TenantParams } from '../../http/ids.ts';
import { notFound } from '../../http/problem.ts';
import { finish, originOf, ReleaseResult, WriteQuery } from '../../http/write.ts';
import { find, findUser, objectsOf } from '../releases/document.ts';
import type { Changed } from '../releases/request.ts';
import type { TenantState } from '../releases/state.ts';
import { RolloutOnPublish } from '../rollouts/schema.ts';
import { begun, heldFor, rolloutOf } from '../rollouts/start.ts';
import type { Tags, Target, TargetParams } from './target.ts';

/** The shared config goes out at once: there is no rollout of it. */
const LiveQuery = WriteQuery.safeExtend({ rollout: RolloutOnPublish });
const dry_run = z.enum(['true', 'false']).default('false').describe('Check everything, store nothing');

const DocumentResult = ReleaseResult.extend({
  config: Config.optional().describe('With dry_run: the config as it would be stored'),
}).meta({ id: 'ConfigPutResult' });

/** The live config of the tenant that the path names. */
export const liveTarget = (context: Context): Target =>
  makeTarget(context, '/tenants/:tenant_id', LiveQuery, (params) => params.tenant_id);

/** The shared config: one more, with servers of its own, that belongs to no tenant. */
export const globalTarget = (context: Context): Target =>
  makeTarget(context, '/config/global', WriteQuery, () => GLOBAL);

function makeTarget(
  context: Context,
  path: string,
  query: typeof WriteQuery | typeof LiveQuery,
  tenantOf: (params: TargetParams) => string,
): Target {
  const { db, changes } = context;

  const objectRow = (tenant_id: string, family: string, name: string) =>
    db.client.resource.findUnique({ where: { tenant_id_family_name: { tenant_id, family, name } } });
  const userRow = (tenant_id: string, username: string) =>
    db.client.user.findUnique({ where: { tenant_id_username: { tenant_id, username } } });

  return {
    where: '',
    path,
    params: TenantParams,
    query,
    documentQuery: query.safeExtend({ dry_run }),
    result: DocumentResult,

    async objects({ tenant_id }, family, { after, take, type }) {
      const rows = await db.client.resource.findMany({
        where: { tenant_id, family, name: { gt: after }, ...(type === undefined ? {} : { type }) },
        orderBy: { name: 'asc' },
        take,
      });
      if (rows.length === 0) await mustExist(context, tenant_id);
      return rows.map((row) => row.config as unknown as AnyObject);
    },
    async object({ tenant_id }, family, name) {
      const row = await objectRow(tenant_id, family, name);
      if (!row) await mustExist(context, tenant_id);
      return row && { value: row.config as unknown as AnyObject, tag: row.revision };
    },
    async users({ tenant_id }, { after, take, user_group, blocked }) {
      const rows = await db.client.user.findMany({
        where: {
          tenant_id,
          username: { gt: after },
          ...(user_group === undefined ? {} : { user_group }),
          ...(blocked === undefined ? {} : { blocked }),
        },
        orderBy: { username: 'asc' },
        take,
      });
      if (rows.length === 0) await mustExist(context, tenant_id);
      return rows;
    },
    async user({ tenant_id }, username) {
      const row = await userRow(tenant_id, username);
      if (!row) await mustExist(context, tenant_id);
      return row && { value: row, tag: row.revision };
    },
    async config(params) {
      const tenant_id = tenantOf(params);
      const row = await db.client.tenant.findUnique({ where: { tenant_id }, select: { config_revision: true } });
      if (!row) throw notFound('tenant', tenant_id);
      return {
        tag: row.config_revision,
        async load() {
          const state = await changes.states.load(tenant_id);
          if (!state) throw notFound('tenant', tenant_id);
          return { config: state.document.config, version: state.row.version };
        },
      };
    },

    async write(request, reply, { action, target, dryRun = false, edit }) {
      const tenant_id = tenantOf(request.params as TargetParams);
      const query = heldFor(context, request.query as z.output<typeof LiveQuery>);
      const rollout = dryRun ? undefined : await rolloutOf(context, request, query);
      const changed = await changes.apply({
        ...originOf(request, query),
        ...{ tenant_id, action, target, dryRun, rollout },
        edit: (state) => edit(state, tagsOf(context, state)),
      });
      const { state, rows } = changed;
      const stored = tagsOf(context, state);
      if (dryRun) return { state, tags: stored, result: dryRunResult(changed) };
      const finished = await finish(context, request, reply, query, changed);
      const result = { ...finished, ...(await begun(context, reply, rollout, changed)) };
      return {
        state,
        result,
        // What was just written need not be asked for. A row that did not change keeps its revision (a user group's
        // when only its users did).
        tags: {
          config: stored.config,
          object: async (family, name) =>
            rows.resources.put.some((put) => put.family === family && put.object.name === name)
              ? state.row.changes
              : stored.object(family, name),
          user: async (username) =>
            rows.users.put.some((put) => put.user.name === username) ? state.row.changes : stored.user(username),
        },
      };
    },
  };
}

const dryRunResult = ({ state, before }: Changed) => ({
  tenant_id: state.row.tenant_id,
  version: state.row.version,
  state: 'dry_run',
  changed: state.document !== before.document,
  config: state.document.config,
});

/** Revisions are in the rows; the document says what is there. */
export function tagsOf({ db }: Pick<Context, 'db'>, { row, document, revisions }: TenantState): Tags {
  const { tenant_id } = row;
  return {
    config: row.config_revision,
    async object(family, name) {
      if (!find(objectsOf(document.config, family), name)) return null;
      const known = revisions.get(`${family}/${name}`);
      if (known !== undefined) return known;
      const where = { tenant_id_family_name: { tenant_id, family, name } };
      const found = await db.client.resource.findUnique({ where, select: { revision: true } });
      if (!found) return null;
      revisions.set(`${family}/${name}`, found.revision);
      return found.revision;
    },
    async user(username) {
      if (!findUser(document.config, username)) return null;
      const where = { tenant_id_username: { tenant_id, username } };
      return (await db.client.user.findUnique({ where, select: { revision: true } }))?.revision ?? null;
    },
  };
}

/** What a tenant has not differs from no tenant at all: throws 404 for that. */
export async function mustExist({ db }: Pick<Context, 'db'>, tenant_id: string): Promise<void> {
  const row = await db.client.tenant.findUnique({ where: { tenant_id }, select: { tenant_id: true } });
  if (!row) throw notFound('tenant', tenant_id);
}
