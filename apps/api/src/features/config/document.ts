/** The whole config of a target as one document. */
import { Config, parseEntries } from '@arcus/gateway/config.ts';
import { runSliced } from '@arcus/gateway/slices.ts';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { demand, etagOf, notModified, preconditionOf } from '../../http/etag.ts';
import { invalid } from '../../http/problem.ts';
import { DOCUMENT_LIMIT } from '../../http/write.ts';
import { access } from '../../plugins/auth.ts';
import { parsedLater } from '../../plugins/schemas.ts';
import type { Target, TargetParams } from '../targets/target.ts';

const SHARED =
  'It belongs to no tenant: one more config with servers of its own. What is in it applies to these servers only, and ' +
  'cannot be named by the config of a tenant.';
const DOCUMENT =
  'JSON, or YAML as application/yaml, up to 1 MiB of it. A config without anything is `{}`: an empty body is refused. Secrets that were read in sealed form may be sent back as they are.';

/** GET and PUT. `whose`: a tenant's, or the shared config, which belongs to none and is for tokens that are of none. */
export function documentRoutes(target: Target, whose: 'tenant' | 'global'): FastifyPluginAsyncZod {
  const url = whose === 'global' ? target.path : `${target.path}/config`;
  const what = whose === 'global' ? 'the shared config' : `the whole config${target.where}`;
  const about = whose === 'global' ? { description: SHARED } : {};
  const params = whose === 'global' ? {} : { params: target.params };
  return async (app) => {
    app.get(
      url,
      {
        config: whose === 'global' ? access('read', 'all') : access('read', 'tenant'),
        schema: { tags: ['config'], summary: `Get ${what}`, ...about, ...params, response: { 200: Config } },
      },
      async (request, reply) => {
        const { tag, load } = await target.config(request.params as TargetParams);
        if (notModified(request, reply, tag)) return reply;
        const { config, version } = await load();
        reply.header('arcus-release', String(version));
        return config as never;
      },
    );

    app.put(
      url,
      {
        config: whose === 'global' ? access('admin', 'all') : access('write', 'tenant'),
        bodyLimit: DOCUMENT_LIMIT,
        validatorCompiler: parsedLater,
        schema: {
          tags: ['config'],
          summary: `Replace ${what}`,
          description: `${whose === 'global' ? `${SHARED} ` : ''}${DOCUMENT}`,
          consumes: ['application/json', 'application/yaml'],
          ...params,
          querystring: target.documentQuery,
          body: Config,
          response: { 200: target.result },
        },
      },
      async (request, reply) => {
        const dryRun = (request.query as { dry_run?: string }).dry_run === 'true';
        const parsed = await runSliced(parseEntries(given(request.body)));
        const { tags, result } = await target.write(request, reply, {
          action: 'config.put',
          target: 'config',
          dryRun,
          edit: (state, tags) => {
            const precondition = preconditionOf(request);
            // Nothing is overwritten by a dry run: a check of a file needs no ETag.
            if (!dryRun || precondition.ifMatch !== undefined) demand(precondition, tags.config);
            return { tenant: state.document.tenant, ...parsed, locate: (pointer) => pointer };
          },
        });
        if (!dryRun) reply.header('etag', etagOf(tags.config));
        return result as never;
      },
    );
  };
}

/** Nothing is no document: an empty file must not wipe what is there. */
function given(body: unknown): unknown {
  if (body !== undefined && body !== null) return body;
  throw invalid([{ pointer: '', code: 'required', message: 'the document is empty: a config without anything is {}' }]);
}
