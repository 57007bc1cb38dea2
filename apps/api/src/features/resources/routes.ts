import { type AnyObject, kinds } from '@arcus/gateway/config.ts';
import { pointer } from '@arcus/gateway/fault.ts';
import { faultsOf } from '@arcus/gateway/issues.ts';
import { type Family, type Kind, Name } from '@arcus/gateway/kind.ts';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { demand, etagOf, notModified, preconditionOf, type Tag } from '../../http/etag.ts';
import { cursorKey, PageQuery, page, pageOf } from '../../http/pagination.ts';
import { invalid, notFound, Problem } from '../../http/problem.ts';
import { access } from '../../plugins/auth.ts';
import { parsedLater } from '../../plugins/schemas.ts';
import { find, objectsOf } from '../releases/document.ts';
import { withoutUsers } from '../releases/rows.ts';
import { located, type Target, type TargetParams, type Written } from '../targets/target.ts';
import { deleteObject, isObject, putObject } from './edit.ts';
import { familyPaths, oneOf, schemaOf } from './families.ts';

/** CRUD of all families; the lists of kinds say what there is. */
export function resourceRoutes(target: Target): FastifyPluginAsyncZod {
  return async (app) => {
    for (const { family, path } of familyPaths) await app.register(familyRoutes(target, family, path));
  };
}

function familyRoutes(target: Target, family: Family, path: string): FastifyPluginAsyncZod {
  const Body = schemaOf(family) as z.ZodType<AnyObject>;
  const Params = target.params.extend({ name: z.string().min(1).max(63).describe('Name of the object') });
  const one = oneOf(family);
  const types = (kinds[family] as readonly Kind[]).map((kind) => kind.type).join(', ');
  const common = { tags: [path], description: `Types: ${types}` };
  const url = `${target.path}/${path}`;
  /** As it lies in the database now: what a write answers. */
  const shown = ({ state }: Written, name: string): AnyObject =>
    withoutUsers(find(objectsOf(state.document.config, family), name)!);

  return async (app) => {
    app.get(
      url,
      {
        config: access('read', 'tenant'),
        schema: {
          ...common,
          summary: `List ${one}s${target.where}, by name`.replace('ys', 'ies'),
          params: target.params,
          querystring: PageQuery.extend({ type: z.string().max(63).optional().describe('Only of this type') }),
          response: { 200: pageOf(Body) },
        },
      },
      async (request) => {
        const { limit, cursor, type } = request.query;
        const after = cursorKey(cursor, z.string()) ?? '';
        const objects = await target.objects(paramsOf(request), family, { after, take: limit + 1, type });
        return page(
          objects,
          limit,
          (object) => object.name,
          (object) => object,
        );
      },
    );

    app.post(
      url,
      {
        config: access('write', 'tenant'),
        validatorCompiler: parsedLater,
        schema: {
          ...common,
          summary: `Create a ${one}${target.where}`
            .replace('a auditor', 'an auditor')
            .replace('a escaper', 'an escaper'),
          params: target.params,
          querystring: target.query,
          body: Body,
          response: { 201: Body },
        },
      },
      async (request, reply) => {
        const body: unknown = request.body;
        if (!isObject(body)) throw invalid([{ pointer: '', code: 'invalid_type', message: 'must be an object' }]);
        const named = Name.safeParse(body.name);
        if (!named.success) {
          const [fault] = faultsOf(named.error, body.name);
          throw invalid([{ ...fault!, pointer: pointer('name'), code: 'invalid_name' }]);
        }
        const name = named.data;
        const written = await target.write(request, reply, {
          action: `${family}.create`,
          target: `${family}/${name}`,
          edit: (state) => {
            if (find(objectsOf(state.document.config, family), name)) {
              throw new Problem('conflict', `The ${one} "${name}" exists already`);
            }
            return putObject(state, family, name, body);
          },
        });
        reply.code(201).header('etag', etagOf((await written.tags.object(family, name))!));
        reply.header('location', `${located(target, paramsOf(request))}/${path}/${name}`);
        return shown(written, name);
      },
    );

    app.get(
      `${url}/:name`,
      {
        config: access('read', 'tenant'),
        schema: { ...common, summary: `Get one ${one}${target.where}`, params: Params, response: { 200: Body } },
      },
      async (request, reply) => {
        const found = await target.object(paramsOf(request), family, nameOf(request));
        if (!found) throw notFound(one, nameOf(request));
        if (notModified(request, reply, found.tag)) return reply;
        return found.value;
      },
    );

    app.put(
      `${url}/:name`,
      {
        config: access('write', 'tenant'),
        validatorCompiler: parsedLater,
        schema: {
          ...common,
          summary: `Replace one ${one}${target.where}, or create it`,
          params: Params,
          querystring: target.query,
          body: Body,
          response: { 200: Body, 201: Body },
        },
      },
      async (request, reply) => {
        const name = nameOf(request);
        let before: Tag | null = null;
        const written = await target.write(request, reply, {
          action: `${family}.put`,
          target: `${family}/${name}`,
          edit: async (state, tags) => {
            before = await tags.object(family, name);
            demand(preconditionOf(request), before);
            return putObject(state, family, name, request.body);
          },
        });
        reply.header('etag', etagOf((await written.tags.object(family, name))!));
        return reply.code(before === null ? 201 : 200).send(shown(written, name));
      },
    );

    app.delete(
      `${url}/:name`,
      {
        config: access('write', 'tenant'),
        schema: {
          ...common,
          summary: `Delete one ${one}${target.where} that nothing names any more`,
          params: Params,
          querystring: target.query,
          response: { 204: z.null().describe('Deleted') },
        },
      },
      async (request, reply) => {
        const name = nameOf(request);
        await target.write(request, reply, {
          action: `${family}.delete`,
          target: `${family}/${name}`,
          edit: async (state, tags) => {
            const revision = await tags.object(family, name);
            if (revision === null) throw notFound(one, name);
            demand(preconditionOf(request), revision);
            return deleteObject(state, family, name);
          },
        });
        return reply.code(204).send(null);
      },
    );
  };
}

const paramsOf = (request: { params: unknown }) => request.params as TargetParams;
const nameOf = (request: { params: unknown }) => (request.params as { name: string }).name;
