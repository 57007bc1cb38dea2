import { Manifest } from '@arcus/control/release.ts';
import { join } from '@arcus/control/sections.ts';
import { Config } from '@arcus/gateway/config.ts';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Context } from '../../deps.ts';
import { TenantParams, Timestamp } from '../../http/ids.ts';
import { cursorKey, PageQuery, page, pageOf } from '../../http/pagination.ts';
import { notFound } from '../../http/problem.ts';
import { access } from '../../plugins/auth.ts';
import { mustExist } from '../targets/live.ts';

const Params = TenantParams.extend({ version: z.coerce.number().int().min(1).max(2_147_483_647) });

const Release = z
  .object({
    version: z.int(),
    state: z
      .enum(['pending', 'published', 'superseded'])
      .describe('superseded: a newer one was published before this one was'),
    checksum: z.string().describe('SHA-256 of the document’s canonical JSON'),
    author: z.string(),
    message: z.string(),
    bytes: z.int().describe('Size of what was new with it, as stored'),
    created_at: Timestamp,
    published_at: Timestamp.nullable(),
  })
  .meta({ id: 'Release' });

const ReleaseDocument = Release.extend({ config: Config.describe('The whole config; secrets sealed') }).meta({
  id: 'ReleaseDocument',
});

const columns = {
  version: true,
  state: true,
  checksum: true,
  author: true,
  message: true,
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
  const { db } = context;
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
          response: { 200: ReleaseDocument },
        },
      },
      async (request, reply) => {
        const { tenant_id, version } = request.params;
        const row = await db.client.release.findUnique({ where: { tenant_id_version: { tenant_id, version } } });
        if (!row) throw notFound();
        const manifest = Manifest.parse(JSON.parse(row.manifest));
        const document = await join(manifest, async (names) => {
          const blobs = await db.client.blob.findMany({ where: { sha256: { in: [...names] } } });
          return new Map(blobs.map((blob) => [blob.sha256, blob.body]));
        });
        reply.header('etag', `"${row.checksum}"`);
        const { manifest: _, tenant_id: _1, ...rest } = row;
        return { ...releaseBody(rest), config: document.config as z.output<typeof Config> };
      },
    );
  };
}
