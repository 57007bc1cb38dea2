import { Name } from '@arcus/gateway/kind.ts';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Context } from '../../deps.ts';
import { demand, etagOf, preconditionOf } from '../../http/etag.ts';
import { TenantParams, Timestamp } from '../../http/ids.ts';
import { cursorKey, PageQuery, page, pageOf } from '../../http/pagination.ts';
import { Message as Text } from '../../http/text.ts';
import { finish, originOf, ReleaseResult, WriteQuery } from '../../http/write.ts';
import { access } from '../../plugins/auth.ts';
import { bodyOptional } from '../../plugins/schemas.ts';
import { documentRoutes } from '../config/document.ts';
import { diffResponse, readRelease, sendDiff, sideOf, Version } from '../releases/history.ts';
import { waitsFor } from '../releases/make.ts';
import { resourceRoutes } from '../resources/routes.ts';
import { RolloutOnPublish } from '../rollouts/schema.ts';
import { begun, heldFor, rolloutOf } from '../rollouts/start.ts';
import { mustExist } from '../targets/live.ts';
import { userRoutes } from '../users/routes.ts';
import { applyDraft, validateDraft } from './actions.ts';
import { type DraftView, draftTag } from './drafts.ts';
import { draftFamilies } from './overlay.ts';
import type { DraftRow } from './rows.ts';
import { DraftParams, draftTarget } from './target.ts';

const Message = Text.describe('Why, for people');

const DraftCreate = z.strictObject({ name: Name, message: Message.default('') }).meta({ id: 'DraftCreate' });

const Draft = z
  .object({
    tenant_id: z.string(),
    name: z.string(),
    message: z.string(),
    author: z.string(),
    base_version: z.int().describe('The newest release when the draft was made or last rebased'),
    changes: z.int().describe('Objects and users that it changes'),
    created_at: Timestamp,
    updated_at: Timestamp,
    expires_at: Timestamp.describe('30 days after the last write to it'),
  })
  .meta({ id: 'Draft' });

const DraftWithChanges = Draft.extend({
  objects: z
    .array(z.object({ family: z.enum(draftFamilies), name: z.string(), change: z.enum(['put', 'deleted']) }))
    .describe('What it changes, 1000 at most'),
  conflicts: z
    .array(z.object({ pointer: z.string(), message: z.string() }))
    .describe('What was changed outside of it since: apply refuses until a rebase settles it'),
}).meta({ id: 'DraftWithChanges' });

const Scopes = z.array(z.enum(draftFamilies)).min(1).optional().describe('Only these families; all if absent');
const ApplyQuery = WriteQuery.safeExtend({ rollout: RolloutOnPublish });
const DraftApply = z.strictObject({ scopes: Scopes, message: Message.optional() }).meta({ id: 'DraftApply' });
const DraftValidate = z.strictObject({ scopes: Scopes }).meta({ id: 'DraftValidate' });
const DraftRebase = z
  .strictObject({
    prefer: z.enum(['draft', 'live']).optional().describe('Whose object stays where both changed it; 409 if absent'),
  })
  .meta({ id: 'DraftRebase' });

const Validated = z
  .object({
    valid: z.literal(true),
    changed: z.boolean().describe('Would apply make a release of another config?'),
    waits_for: z
      .string()
      .nullable()
      .describe(
        'Why apply would be refused (409) all the same, as long as ?publish= says nothing else: a release is held or ' +
          'rolled out. Null: nothing is in the way',
      ),
  })
  .meta({ id: 'DraftValidated' });

const Applied = ReleaseResult.extend({
  left: z.int().describe('Changes that stay in the draft; at 0 the draft is gone'),
}).meta({ id: 'DraftApplied' });

const SHOWN = 1000;

const body = (row: DraftRow, changes: number): z.output<typeof Draft> => ({
  tenant_id: row.tenant_id,
  name: row.name,
  message: row.message,
  author: row.author,
  base_version: row.base_version,
  changes,
  created_at: row.created_at.toISOString(),
  updated_at: row.updated_at.toISOString(),
  expires_at: row.expires_at.toISOString(),
});

const whole = ({ row, changes, conflicts }: DraftView): z.output<typeof DraftWithChanges> => ({
  ...body(row, changes.size),
  objects: [...changes.values()]
    .slice(0, SHOWN)
    .map(({ family, name, object }) => ({ family, name, change: object === null ? 'deleted' : 'put' })),
  conflicts: conflicts.map(({ pointer, message }) => ({ pointer, message })),
});

export function draftRoutes(context: Context): FastifyPluginAsyncZod {
  const { db, drafts, sealer, now } = context;
  const target = draftTarget(context);
  const url = '/tenants/:tenant_id/drafts';
  const common = { tags: ['drafts'] };

  return async (app) => {
    await app.register(documentRoutes(target, 'tenant'));
    await app.register(resourceRoutes(target));
    await app.register(userRoutes(target, sealer));

    app.get(
      url,
      {
        config: access('read', 'tenant'),
        schema: {
          ...common,
          summary: 'List drafts, by name',
          params: TenantParams,
          querystring: PageQuery,
          response: { 200: pageOf(Draft) },
        },
      },
      async (request) => {
        const { tenant_id } = request.params;
        const { limit, cursor } = request.query;
        const rows = await db.client.draft.findMany({
          where: { tenant_id, name: { gt: cursorKey(cursor, z.string()) ?? '' }, expires_at: { gt: new Date(now()) } },
          orderBy: { name: 'asc' },
          take: limit + 1,
          include: { _count: { select: { objects: true } } },
        });
        if (rows.length === 0) await mustExist(context, tenant_id);
        return page(
          rows,
          limit,
          (row) => row.name,
          (row) => body(row, row._count.objects),
        );
      },
    );

    app.post(
      url,
      {
        config: access('write', 'tenant'),
        schema: {
          ...common,
          summary: 'Make a draft of the config',
          description:
            'A draft shows the live config with its own changes in it. Below it the config, its objects and its users ' +
            'are read and written by the same routes as outside, and nothing of it is live before `apply`.',
          params: TenantParams,
          body: DraftCreate,
          response: { 201: Draft },
        },
      },
      async (request, reply) => {
        const { tenant_id } = request.params;
        const { name, message } = request.body;
        const row = await drafts.create(tenant_id, name, originOf(request, { message }));
        reply.code(201).header('etag', etagOf(draftTag(row)));
        reply.header('location', `/api/v1/tenants/${tenant_id}/drafts/${name}`);
        return body(row, 0);
      },
    );

    app.get(
      `${url}/:draft`,
      {
        config: access('read', 'tenant'),
        schema: {
          ...common,
          summary: 'Get a draft: what it changes, and what stands against it',
          params: DraftParams,
          response: { 200: DraftWithChanges },
        },
      },
      async (request, reply) => {
        const view = await drafts.view(request.params.tenant_id, request.params.draft);
        reply.header('etag', etagOf(draftTag(view.row)));
        return whole(view);
      },
    );

    app.delete(
      `${url}/:draft`,
      {
        config: access('write', 'tenant'),
        schema: {
          ...common,
          summary: 'Throw a draft away',
          params: DraftParams,
          response: { 204: z.null().describe('Thrown away') },
        },
      },
      async (request, reply) => {
        const { tenant_id, draft } = request.params;
        await drafts.discard(tenant_id, draft, originOf(request, { message: '' }), (row) =>
          demand(preconditionOf(request), draftTag(row)),
        );
        return reply.code(204).send(null);
      },
    );

    app.post(
      `${url}/:draft/validate`,
      {
        config: access('read', 'tenant'),
        validatorCompiler: bodyOptional,
        schema: {
          ...common,
          summary: 'Check everything that apply would check, and store nothing',
          description:
            'Answers 422 with every fault (pointers into the config as the draft shows it), conflicts among them, or ' +
            '409 when conflicts are all there is. `waits_for` says why a valid draft could not be applied now.',
          params: DraftParams,
          body: DraftValidate,
          response: { 200: Validated },
        },
      },
      async (request) => {
        const { tenant_id, draft } = request.params;
        const ask = { tenant_id, draft, scopes: request.body.scopes, message: undefined, demand: () => {} };
        const { state, before } = await validateDraft(context, request, ask);
        const changed = state.document !== before.document;
        return { valid: true as const, changed, waits_for: changed ? waitsFor(before) : null };
      },
    );

    app.get(
      `${url}/:draft/diff`,
      {
        config: access('read', 'tenant'),
        schema: {
          ...common,
          summary: 'What applying and publishing the draft would change, by object and field',
          params: DraftParams,
          querystring: z.strictObject({
            against: z
              .union([z.enum(['stable', 'latest']), Version], {
                error: 'must be stable, latest or the version of a release',
              })
              .default('stable')
              .describe(
                'stable: the release that is served; latest: the newest, which may be held; or the version of any',
              ),
          }),
          response: diffResponse,
        },
      },
      async (request, reply) => {
        const { tenant_id, draft } = request.params;
        const { against } = request.query;
        const { state, live, row } = await drafts.view(tenant_id, draft);
        const { version: latest, stable_version } = live.row;
        const version = against === 'stable' ? stable_version : against === 'latest' ? latest : against;
        const newest = version === latest ? live.document : null;
        const document = newest ?? (await readRelease(db, tenant_id, version)).document;
        await sendDiff(request, reply, sideOf(version, document), { name: `draft:${row.name}`, ...state.document });
        return reply as never;
      },
    );

    app.post(
      `${url}/:draft/apply`,
      {
        config: access('write', 'tenant'),
        validatorCompiler: bodyOptional,
        schema: {
          ...common,
          summary: 'Make one release of the draft’s changes',
          description:
            'Live changes of other objects stay. 409 with a pointer for each object that was changed outside of the ' +
            'draft too. What is applied leaves the draft, and an empty draft is gone. If-Match is optional here.',
          params: DraftParams,
          querystring: ApplyQuery,
          body: DraftApply,
          response: { 200: Applied },
        },
      },
      async (request, reply) => {
        const { tenant_id, draft } = request.params;
        const { scopes, message } = request.body;
        const query = heldFor(context, request.query);
        const precondition = preconditionOf(request);
        const rollout = await rolloutOf(context, request, query);
        const { changed, left } = await applyDraft(context, request, {
          ...{ tenant_id, draft, scopes },
          message: message ?? (query.message || undefined),
          ...{ publish: query.publish, wait: query.wait, rollout },
          demand: ({ row }) => {
            if (precondition.ifMatch !== undefined) demand(precondition, draftTag(row));
          },
        });
        const finished = await finish(context, request, reply, query, changed);
        return { ...finished, ...(await begun(context, reply, rollout, changed)), left };
      },
    );

    app.post(
      `${url}/:draft/rebase`,
      {
        config: access('write', 'tenant'),
        validatorCompiler: bodyOptional,
        schema: {
          ...common,
          summary: 'Bring a draft up to what is live now, and settle its conflicts',
          params: DraftParams,
          body: DraftRebase,
          response: { 200: DraftWithChanges },
        },
      },
      async (request, reply) => {
        const { tenant_id, draft } = request.params;
        const origin = originOf(request, { message: '' });
        const view = await drafts.rebase(tenant_id, draft, origin, request.body.prefer);
        reply.header('etag', etagOf(draftTag(view.row)));
        return whole(view);
      },
    );
  };
}
