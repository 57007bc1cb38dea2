/** Releases that were: their documents, and what differs between two of them. */
import type { Manifest } from '@arcus/control/release.ts';
import { join, type PartCache } from '@arcus/control/sections.ts';
import { StoreCorrupt } from '@arcus/control/store.ts';
import { type Config, emptyConfig, type TenantInfo } from '@arcus/gateway/config.ts';
import { describeChange, diffing, diffTenants } from '@arcus/gateway/diff.ts';
import { families } from '@arcus/gateway/kind.ts';
import { runSliced } from '@arcus/gateway/slices.ts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Db, Prisma } from '../../db/open.ts';
import { Problem } from '../../http/problem.ts';
import { wholeNumber } from '../../http/whole-number.ts';
import { mustExist } from '../targets/live.ts';
import type { Document } from './document.ts';

export const Version = wholeNumber(1, 2_147_483_647).describe('Version of a release');

/** The release's row and its document, from the database alone. Throws 404 when it is not there (any more). */
export async function readRelease(
  db: Db,
  tenant_id: string,
  version: number,
  cache?: PartCache,
): Promise<{ row: Prisma.ReleaseModel; document: Document }> {
  const { client } = db;
  const where = { tenant_id_version: { tenant_id, version } };
  const row = await client.release.findUnique({ where });
  if (!row) throw await missing(db, tenant_id, version);
  try {
    const document = await join(
      JSON.parse(row.manifest) as Manifest,
      async (names) => {
        const blobs = await client.blob.findMany({ where: { sha256: { in: [...names] } } });
        return new Map(blobs.map((blob) => [blob.sha256, blob.body]));
      },
      cache,
    );
    return { row, document: document as Document };
  } catch (error) {
    // Its time was over while it was read.
    if (error instanceof StoreCorrupt && !(await client.release.findUnique({ where, select: { version: true } }))) {
      throw await missing(db, tenant_id, version);
    }
    throw error;
  }
}

/** Says which releases there are instead; old ones are removed, and those that are still needed stay between them. */
async function missing(db: Db, tenant_id: string, version: number): Promise<Problem> {
  const { _min, _max, _count } = await db.client.release.aggregate({
    where: { tenant_id },
    _min: { version: true },
    _max: { version: true },
    _count: true,
  });
  const [from, to] = [_min.version, _max.version];
  if (from === null || to === null) {
    await mustExist({ db }, tenant_id);
    return new Problem('not_found', `There is no release ${version}, and no other yet`);
  }
  const all = _count === to - from + 1;
  const kept = all ? (from === to ? `${from}` : `${from}–${to}`) : `${_count} of ${from}–${to}`;
  return new Problem('not_found', `There is no release ${version} (kept: ${kept})`);
}

const FieldChange = z
  .object({
    pointer: z.string().describe('JSON Pointer relative to the object; items of a list of named things go by name'),
    before: z.unknown().optional().describe('Absent when the field is new'),
    after: z.unknown().optional().describe('Absent when the field is gone'),
  })
  .meta({ id: 'FieldChange' });

export const ConfigDiff = z
  .object({
    from: z.string().describe('Version of a release, 0 for nothing at all, or draft:<name>'),
    to: z.string(),
    changes: z.array(
      z.object({
        family: z.enum(['tenant', ...families]).describe('tenant: its own fields, under its id'),
        name: z.string(),
        change: z.enum(['added', 'removed', 'changed']),
        fields: z
          .array(FieldChange)
          .describe('What differs in a changed object, and the users of a group that came or went; secrets are sealed'),
      }),
    ),
  })
  .meta({ id: 'ConfigDiff' });

export const diffResponse = {
  200: {
    description: 'What turns `from` into `to`; as text for people when Accept asks for text/plain',
    content: { 'application/json': { schema: ConfigDiff }, 'text/plain': { schema: z.string() } },
  },
};

/** One side of a diff; `tenant` is null where there was none yet. */
export interface Side {
  readonly name: string;
  readonly tenant: TenantInfo | null;
  readonly config: Config;
}

/** Before the first release there was nothing. */
export const nothing = (): Side => ({ name: '0', tenant: null, config: emptyConfig() });

export const sideOf = (version: number, { tenant, config }: Document): Side => ({
  name: String(version),
  tenant,
  config,
});

/** Answers a diff in the form that the client asked for. */
export async function sendDiff(
  request: FastifyRequest,
  reply: FastifyReply,
  from: Side,
  to: Side & { tenant: TenantInfo },
): Promise<void> {
  const changes = [...diffTenants(from.tenant, to.tenant), ...(await runSliced(diffing(from.config, to.config)))];
  reply.header('vary', 'accept');
  if (prefersText(request.headers.accept)) {
    const lines = changes.flatMap(describeChange);
    reply
      .type('text/plain; charset=utf-8')
      .serializer(String)
      .send(lines.length > 0 ? `${lines.join('\n')}\n` : '');
  } else {
    reply.type('application/json; charset=utf-8').send({ from: from.name, to: to.name, changes });
  }
}

/** Is text/plain named before, or without, application/json? */
function prefersText(accept: string | undefined): boolean {
  const types = (accept ?? '').split(',').map((part) => part.split(';')[0]!.trim());
  const [text, json] = [types.indexOf('text/plain'), types.indexOf('application/json')];
  return text >= 0 && (json < 0 || text < json);
}
