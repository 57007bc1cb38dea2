import { type AnyObject, kinds } from '@arcus/gateway/config.ts';
import { pointer } from '@arcus/gateway/fault.ts';
import { type Family, type Kind, Name } from '@arcus/gateway/kind.ts';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Context } from '../../deps.ts';
import { demand, etagOf, notModified, preconditionOf } from '../../http/etag.ts';
import { TenantParams } from '../../http/ids.ts';
import { cursorKey, PageQuery, page, pageOf } from '../../http/pagination.ts';
import { invalid, notFound, Problem } from '../../http/problem.ts';
import { finish, originOf, WriteQuery } from '../../http/write.ts';
import { access } from '../../plugins/auth.ts';
import { parsedLater } from '../../plugins/schemas.ts';
import { find, objectsOf } from '../releases/document.ts';
import { withoutUsers } from '../releases/rows.ts';
import type { TenantState } from '../releases/state.ts';
import { deleteObject, isObject, putObject } from './edit.ts';
import { familyPaths, oneOf, schemaOf } from './families.ts';

const Params = TenantParams.extend({ name: z.string().min(1).max(63).describe('Name of the object') });

/** CRUD of all families; the lists of kinds say what there is. */
export function resourceRoutes(context: Context): FastifyPluginAsyncZod {
  return async (app) => {
    for (const { family, path } of familyPaths) await app.register(familyRoutes(context, family, path));
  };
}

function familyRoutes(context: Context, family: Family, path: string): FastifyPluginAsyncZod {
  const { db, changes } = context;
  const Body = schemaOf(family) as z.ZodType<AnyObject>;
  const one = oneOf(family);
  const types = (kinds[family] as readonly Kind[]).map((kind) => kind.type).join(', ');
  const common = { tags: [path], description: `Types: ${types}` };

  /** The object's revision, also the only way to tell that it is there. */
  const revisionOf = async (state: TenantState, name: string): Promise<number | null> => {
    if (!find(objectsOf(state.document.config, family), name)) return null;
    const where = { tenant_id_family_name: { tenant_id: state.row.tenant_id, family, name } };
    return (await db.client.resource.findUnique({ where, select: { revision: true } }))?.revision ?? null;
  };
  /** As it lies in the database now: what a write answers. */
  const shown = (state: TenantState, name: string): AnyObject =>
    withoutUsers(find(objectsOf(state.document.config, family), name)!);

  return async (app) => {
    app.get(
      `/tenants/:tenant_id/${path}`,
      {
        config: access('read', 'tenant'),
        schema: {
          ...common,
          summary: `List ${one}s, by name`.replace('ys,', 'ies,'),
          params: TenantParams,
          querystring: PageQuery.extend({ type: z.string().max(63).optional().describe('Only of this type') }),
          response: { 200: pageOf(Body) },
        },
      },
      async (request) => {
        const { tenant_id } = request.params;
        const { limit, cursor, type } = request.query;
        const after = cursorKey(cursor, z.string()) ?? '';
        const rows = await db.client.resource.findMany({
          where: { tenant_id, family, name: { gt: after }, ...(type ? { type } : {}) },
          orderBy: { name: 'asc' },
          take: limit + 1,
        });
        if (rows.length === 0) await mustExist(context, tenant_id);
        return page(
          rows,
          limit,
          (row) => row.name,
          (row) => row.config as unknown as AnyObject,
        );
      },
    );

    app.post(
      `/tenants/:tenant_id/${path}`,
      {
        config: access('write', 'tenant'),
        validatorCompiler: parsedLater,
        schema: {
          ...common,
          summary: `Create a ${one}`.replace('a auditor', 'an auditor').replace('a escaper', 'an escaper'),
          params: TenantParams,
          querystring: WriteQuery,
          body: Body,
          response: { 201: Body },
        },
      },
      async (request, reply) => {
        const { tenant_id } = request.params;
        const body: unknown = request.body;
        const named = Name.safeParse(isObject(body) ? body.name : undefined);
        if (!named.success) {
          const message = named.error.issues[0]!.message;
          throw invalid([{ pointer: isObject(body) ? pointer('name') : '', code: 'invalid_name', message }]);
        }
        const name = named.data;
        const changed = await changes.apply({
          ...originOf(request, request.query),
          tenant_id,
          action: `${family}.create`,
          target: `${family}/${name}`,
          edit: (state) => {
            if (find(objectsOf(state.document.config, family), name)) {
              throw new Problem('conflict', `The ${one} "${name}" exists already`);
            }
            return putObject(state, family, name, body);
          },
        });
        await finish(context, request, reply, request.query, changed);
        reply.code(201).header('etag', etagOf(changed.state.row.changes));
        reply.header('location', `/api/v1/tenants/${tenant_id}/${path}/${name}`);
        return shown(changed.state, name);
      },
    );

    app.get(
      `/tenants/:tenant_id/${path}/:name`,
      {
        config: access('read', 'tenant'),
        schema: { ...common, summary: `Get one ${one}`, params: Params, response: { 200: Body } },
      },
      async (request, reply) => {
        const { tenant_id, name } = request.params;
        const row = await db.client.resource.findUnique({
          where: { tenant_id_family_name: { tenant_id, family, name } },
        });
        if (!row) throw notFound();
        if (notModified(request, reply, row.revision)) return reply;
        return row.config as unknown as AnyObject;
      },
    );

    app.put(
      `/tenants/:tenant_id/${path}/:name`,
      {
        config: access('write', 'tenant'),
        validatorCompiler: parsedLater,
        schema: {
          ...common,
          summary: `Replace one ${one}, or create it`,
          params: Params,
          querystring: WriteQuery,
          body: Body,
          response: { 200: Body, 201: Body },
        },
      },
      async (request, reply) => {
        const { tenant_id, name } = request.params;
        let revision: number | null = null;
        const changed = await changes.apply({
          ...originOf(request, request.query),
          tenant_id,
          action: `${family}.put`,
          target: `${family}/${name}`,
          edit: async (state) => {
            revision = await revisionOf(state, name);
            demand(preconditionOf(request), revision);
            return putObject(state, family, name, request.body);
          },
        });
        await finish(context, request, reply, request.query, changed);
        // A row that did not change keeps its revision (a user group's when only its users did).
        const written = changed.rows.resources.put.some((put) => put.family === family && put.object.name === name);
        reply.header('etag', etagOf(written ? changed.state.row.changes : revision!));
        return reply.code(revision === null ? 201 : 200).send(shown(changed.state, name));
      },
    );

    app.delete(
      `/tenants/:tenant_id/${path}/:name`,
      {
        config: access('write', 'tenant'),
        schema: {
          ...common,
          summary: `Delete one ${one} that nothing names any more`,
          params: Params,
          querystring: WriteQuery,
          response: { 204: z.null().describe('Deleted') },
        },
      },
      async (request, reply) => {
        const { tenant_id, name } = request.params;
        const changed = await changes.apply({
          ...originOf(request, request.query),
          tenant_id,
          action: `${family}.delete`,
          target: `${family}/${name}`,
          edit: async (state) => {
            const revision = await revisionOf(state, name);
            if (revision === null) throw notFound();
            demand(preconditionOf(request), revision);
            return deleteObject(state, family, name);
          },
        });
        await finish(context, request, reply, request.query, changed);
        return reply.code(204).send(null);
      },
    );
  };
}

/** An empty list of a tenant that is there differs from no tenant at all. */
export async function mustExist({ db }: Context, tenant_id: string): Promise<void> {
  const row = await db.client.tenant.findUnique({ where: { tenant_id }, select: { tenant_id: true } });
  if (!row) throw notFound();
}
