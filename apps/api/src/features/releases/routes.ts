import { Config, parseEntries, TenantInfo } from '@arcus/gateway/config.ts';
import { runSliced } from '@arcus/gateway/slices.ts';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Context } from '../../deps.ts';
import { TenantParams, Timestamp } from '../../http/ids.ts';
import { cursorKey, PageQuery, page, pageOf } from '../../http/pagination.ts';
import { Message } from '../../http/text.ts';
import { finish, originOf, ReleaseResult, WriteQuery } from '../../http/write.ts';
import { access } from '../../plugins/auth.ts';
import { mustExist } from '../targets/live.ts';
import { diffResponse, nothing, readRelease, sendDiff, sideOf, Version } from './history.ts';

const Params = TenantParams.extend({ version: Version });

const Release = z
  .object({
    version: z.int(),
    state: z
      .enum(['pending', 'published', 'superseded', 'held'])
      .describe('superseded: a newer one was published before this one was; held: not published yet'),
    checksum: z
      .string()
      .describe('SHA-256 over the hashes of the document’s parts: documents that differ have different ones'),
    author: z.string(),
    message: z.string(),
    added: z.int().describe('Objects and users that came with it'),
    changed: z.int().describe('Objects and users that differ from the release before; the tenant itself is one'),
    removed: z.int().describe('Objects and users that went'),
    restores: z.int().nullable().describe('Of a rollback: the version whose config it has'),
    bytes: z.int().describe('Size of what was new with it, as stored'),
    created_at: Timestamp,
    published_at: Timestamp.nullable(),
  })
  .meta({ id: 'Release' });

const ReleaseWithConfig = Release.extend({
  rollouts: z
    .array(z.object({ id: z.string(), state: z.string(), reason: z.string(), created_at: Timestamp }))
    .describe('How it was rolled out, newest first; the story is at …/rollouts/{id}'),
  config: Config.describe('The whole config; secrets sealed'),
}).meta({ id: 'ReleaseWithConfig' });

const ReleaseDocument = z
  .object({ tenant: TenantInfo, config: Config })
  .meta({ id: 'ReleaseDocument', description: 'What workers get: the tenant, and its config with secrets sealed' });

const Rollback = z
  .strictObject({
    version: z.int().min(1).max(2_147_483_647).describe('The release whose config is wanted back'),
    message: Message.optional().describe('Why, for the history of releases'),
  })
  .meta({ id: 'Rollback' });

const columns = {
  version: true,
  state: true,
  checksum: true,
  author: true,
  message: true,
  added: true,
  changed: true,
  removed: true,
  restores: true,
  bytes: true,
  created_at: true,
  published_at: true,
} as const;

type Row = Omit<z.output<typeof Release>, 'created_at' | 'published_at'> & {
  created_at: Date;
  published_at: Date | null;
};

const releaseBody = (row: Row): z.output<typeof Release> => ({
  ...row,
  created_at: row.created_at.toISOString(),
  published_at: row.published_at?.toISOString() ?? null,
});

export function releaseRoutes(context: Context): FastifyPluginAsyncZod {
  const { db, changes } = context;
  return async (app) => {
    app.get(
      '/tenants/:tenant_id/releases',
      {
        config: access('read', 'tenant'),
        schema: {
          tags: ['releases'],
          summary: 'List releases, newest first',
          params: TenantParams,
          querystring: PageQuery,
          response: { 200: pageOf(Release) },
        },
      },
      async (request) => {
        const { tenant_id } = request.params;
        const { limit, cursor } = request.query;
        const before = cursorKey(cursor, z.int());
        const rows = await db.client.release.findMany({
          where: { tenant_id, ...(before === undefined ? {} : { version: { lt: before } }) },
          orderBy: { version: 'desc' },
          take: limit + 1,
          select: columns,
        });
        if (rows.length === 0) await mustExist(context, tenant_id);
        return page(rows, limit, (row) => row.version, releaseBody);
      },
    );

    app.get(
      '/tenants/:tenant_id/releases/:version',
      {
        config: access('read', 'tenant'),
        schema: {
          tags: ['releases'],
          summary: 'Get a release with its config',
          params: Params,
          response: { 200: ReleaseWithConfig },
        },
      },
      async (request, reply) => {
        const { tenant_id, version } = request.params;
        const { row, document } = await readRelease(db, tenant_id, version);
        const rollouts = await db.client.rollout.findMany({
          where: { tenant_id, version },
          orderBy: { created_at: 'desc' },
          select: { rollout_id: true, state: true, reason: true, created_at: true },
        });
        reply.header('etag', `"${row.checksum}"`);
        const { manifest: _, tenant_id: _1, ...rest } = row;
        return {
          ...releaseBody(rest),
          rollouts: rollouts.map(({ rollout_id, state, reason, created_at }) => ({
            ...{ id: rollout_id, state, reason, created_at: created_at.toISOString() },
          })),
          config: document.config,
        };
      },
    );

    app.get(
      '/tenants/:tenant_id/releases/:version/document',
      {
        config: access('read', 'tenant'),
        schema: {
          tags: ['releases'],
          summary: 'Get the document of a release, as workers get it',
          params: Params,
          response: { 200: ReleaseDocument },
        },
      },
      async (request, reply) => {
        const { row, document } = await readRelease(db, request.params.tenant_id, request.params.version);
        reply.header('etag', `"${row.checksum}"`);
        return { tenant: document.tenant, config: document.config };
      },
    );

    /** `from`: null is the release before. Parts that both releases have are read once, and are the same objects. */
    const diff = async (request: any, reply: any, tenant_id: string, from: number | null, to: number) => {
      const cache = new Map();
      const { row, document } = await readRelease(db, tenant_id, to, cache);
      const first = from === null && (await isFirst(tenant_id, row));
      const version = from ?? to - 1;
      const before = first ? nothing() : sideOf(version, (await readRelease(db, tenant_id, version, cache)).document);
      await sendDiff(request, reply, before, { name: String(to), ...document });
      return reply;
    };

    /** Of one that was deleted and made again the first release has a higher version. */
    const isFirst = async (tenant_id: string, { version, created_at }: { version: number; created_at: Date }) => {
      if (version === 1) return true;
      const tenant = await db.client.tenant.findUnique({ where: { tenant_id }, select: { created_at: true } });
      return tenant?.created_at.getTime() === created_at.getTime();
    };

    app.get(
      '/tenants/:tenant_id/releases/:version/diff/:other',
      {
        config: access('read', 'tenant'),
        schema: {
          tags: ['releases'],
          summary: 'What differs between two releases, by object and field',
          params: Params.extend({ other: Version.describe('The release that it became') }),
          response: diffResponse,
        },
      },
      (request, reply) =>
        diff(request, reply, request.params.tenant_id, request.params.version, request.params.other) as never,
    );

    app.get(
      '/tenants/:tenant_id/releases/:version/diff',
      {
        config: access('read', 'tenant'),
        schema: {
          tags: ['releases'],
          summary: 'What a release changed, by object and field',
          params: Params,
          querystring: z.strictObject({
            against: Version.optional().describe(
              'The release to start from; if absent: the one before, and nothing at all before the first',
            ),
          }),
          response: diffResponse,
        },
      },
      (request, reply) => {
        const { tenant_id, version } = request.params;
        return diff(request, reply, tenant_id, request.query.against ?? null, version) as never;
      },
    );

    app.post(
      '/tenants/:tenant_id/rollback',
      {
        config: access('write', 'tenant'),
        schema: {
          tags: ['releases'],
          summary: 'Make a new release with the config of an old one',
          description:
            'None is made (`changed` is false) when the newest release has that config already; one that is held is ' +
            'published then. ' +
            'The tenant’s own fields (status, limits) stay as they are. The config is checked again: 422 when it has ' +
            'faults today, such as an address that another tenant listens on now. A rollout that is under way is aborted ' +
            'with it, unless the new release is to be held (?publish=hold): then it is refused.',
          params: TenantParams,
          querystring: WriteQuery.safeExtend({
            publish: WriteQuery.shape.publish.describe(
              'hold: store the release and go on serving the one before; default: now, whatever is held or rolled out',
            ),
          }),
          body: Rollback,
          response: { 200: ReleaseResult },
        },
      },
      async (request, reply) => {
        const { tenant_id } = request.params;
        const { version, message } = request.body;
        const { document } = await readRelease(db, tenant_id, version);
        const parsed = await runSliced(parseEntries(document.config));
        const changed = await changes.apply({
          ...originOf(request, {
            ...request.query,
            message: message ?? (request.query.message || `rollback to ${version}`),
          }),
          tenant_id,
          action: 'config.rollback',
          target: `releases/${version}`,
          restores: version,
          takesOver: `rolled back to release ${version}`,
          // Going back publishes what it goes back to, whatever is held.
          publish: request.query.publish ?? 'now',
          edit: (state) => ({ tenant: state.document.tenant, ...parsed }),
        });
        return finish(context, request, reply, request.query, changed);
      },
    );
  };
}
