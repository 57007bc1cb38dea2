/** What all writes of a tenant's config have in common at the HTTP edge. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Context } from '../deps.ts';
import type { Changed, Origin } from '../features/releases/request.ts';
import { Summary, WorkerState } from '../features/releases/status.ts';
import { acknowledged } from './acknowledged.ts';
import { Message } from './text.ts';
import { within } from './within.ts';

/** Bytes of a whole config document: lists of users and rules are long. */
export const DOCUMENT_LIMIT = 64 * 1024 * 1024;

const units = { ms: 1, s: 1000, m: 60_000 } as const;

export const Duration = z
  .string()
  .regex(/^\d{1,6}(?:ms|s|m)$/, 'must be a number with ms, s or m, such as 30s')
  .transform((text) => Number.parseInt(text, 10) * units[text.replace(/^\d+/, '') as keyof typeof units])
  .refine((ms) => ms <= 600_000, 'must be at most 10m');

/** So long is waited when nobody says how long, ms. */
const WAIT_MS = 30_000;
/** So long a release that is waited for may take to go out, also when the timeout is less, ms. */
const OUT_MS = 1000;

/** Query of every write that makes a release; more is added by `safeExtend`, which keeps the check. */
export const WriteQuery = z
  .strictObject({
    message: Message.default('').describe('Why, for the history of releases'),
    wait: z
      .literal('acked')
      .optional()
      .describe(
        'Answer when every live worker has answered for the release; of a new placement: every worker that is to take the tenant over',
      ),
    timeout: Duration.optional().describe('With wait: how long at most, such as 500ms, 30s, 2m; default 30s'),
    publish: z
      .enum(['now', 'hold'])
      .optional()
      .describe(
        'hold: store the release and go on serving the one before, until it is rolled out or published; ' +
          'now: publish what was held with it, also when nothing else is new. Default: now, but refused (409) while a ' +
          'release is held',
      ),
  })
  .superRefine(({ wait, timeout, publish }, context) => {
    const fault = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (timeout !== undefined && wait === undefined) fault('timeout', 'says how long to wait: it needs wait=acked');
    if (publish === 'hold' && wait !== undefined)
      fault('wait', 'cannot be with publish=hold: no worker gets what is held');
  });
export type WriteQuery = z.output<typeof WriteQuery>;

/** What became of a write. */
export const ReleaseResult = z
  .object({
    tenant_id: z.string(),
    version: z.int().describe('The release that holds the write'),
    state: z
      .enum(['published', 'pending', 'acked', 'held', 'dry_run'])
      .describe(
        'pending: stored, and on its way when the store is back; held: stored, and not to be published; ' +
          'dry_run: nothing was stored',
      ),
    changed: z.boolean().describe('False when the config was this already: no new release'),
    rollout: z.string().optional().describe('With ?rollout=: the id of the rollout that began'),
    notes: z.array(z.string()).optional().describe('With ?rollout=: what it can not show, with this fleet'),
    summary: Summary.optional().describe('With wait=acked'),
    workers: z.array(WorkerState).optional().describe('With wait=acked: what each worker said'),
  })
  .meta({ id: 'ReleaseResult' });
export type ReleaseResult = z.output<typeof ReleaseResult>;

export const originOf = (
  request: FastifyRequest,
  query: { message: string; publish?: 'now' | 'hold' | undefined; wait?: 'acked' | undefined },
): Origin => ({
  actor: request.actor.name,
  request_id: request.id,
  message: query.message,
  publish: query.publish,
  acked: query.wait === 'acked',
});

/**
 * Publishes what a write made, waits for the workers when that was asked, and says on the answer which release it is.
 * A store that is away does not fail the write: it stays pending. The timeout counts from `since`.
 */
export async function finish(
  context: Context,
  request: FastifyRequest,
  reply: FastifyReply,
  query: WriteQuery,
  changed: Changed,
  since: number = performance.now(),
): Promise<ReleaseResult> {
  const { row } = changed.state;
  const { tenant_id, stable_version } = row;
  const { release, below } = changed;
  // What moves without a release is what is served, whatever is held.
  const version = below ?? (changed.enters && !release ? stable_version : row.version);
  const held = version !== stable_version;
  const acked = query.wait === 'acked';
  const live = await within(patienceOf(query, since), goOut(context, changed, version));
  const result: ReleaseResult = {
    tenant_id,
    version,
    state: held ? 'held' : live ? 'published' : 'pending',
    changed: release !== null,
  };
  reply.header('arcus-release', String(version));
  reply.header('arcus-release-state', result.state);
  if (!acked || version === 0 || held) return result;
  const timeout = query.timeout ?? WAIT_MS;
  const left = Math.max(0, timeout - (performance.now() - since));
  const answered = await acknowledged(context, request, { row, version, enters: changed.enters, timeout, left, live });
  reply.header('arcus-release-state', 'acked');
  return { ...result, state: 'acked', ...answered };
}

/** How long the store is waited for, ms: not for ever by who says how long they wait, but a release needs its moment. */
export const patienceOf = ({ wait, timeout = WAIT_MS }: WriteQuery, since: number): number =>
  wait === 'acked' ? Math.max(OUT_MS, timeout - (performance.now() - since)) : Number.POSITIVE_INFINITY;

/** Brings the tenant's head to the store; answers whether that names `version` now. */
async function goOut(context: Context, changed: Changed, version: number): Promise<boolean> {
  const { publisher } = context;
  const { state, release, moved, below } = changed;
  const { tenant_id, stable_version } = state.row;
  const out = (moved && !release?.head) || below !== null ? await publisher.publish(tenant_id) : null;
  if (version !== stable_version) return false;
  if (release?.head) return publisher.publish(tenant_id, { ...release, head: release.head });
  return out ?? isLive(context, tenant_id, version);
}

/** Nothing new was made: is the newest release out already? */
async function isLive({ db, publisher }: Context, tenant_id: string, version: number): Promise<boolean> {
  const where = { tenant_id_version: { tenant_id, version } };
  const row = await db.client.release.findUnique({ where, select: { state: true } });
  return row?.state !== 'pending' || publisher.publish(tenant_id);
}
