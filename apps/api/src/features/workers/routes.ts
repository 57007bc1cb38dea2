import { chosen } from '@arcus/control/chosen.ts';
import { WORKER_ID } from '@arcus/control/keys.ts';
import { WorkerRecord } from '@arcus/control/release.ts';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Context } from '../../deps.ts';
import { Timestamp } from '../../http/ids.ts';
import { cursorKey, PageQuery, page, pageOf } from '../../http/pagination.ts';
import { notFound, Problem } from '../../http/problem.ts';
import { wholeNumber } from '../../http/whole-number.ts';
import { access } from '../../plugins/auth.ts';
import { audit } from '../audit/record.ts';
import { wantedHead } from '../releases/head.ts';
import { ageOf, answersOf, WorkerState } from '../releases/status.ts';
import type { KnownWorker } from './fleet.ts';

const Worker = WorkerRecord.omit({ schema: true, left: true, store_seen_at: true })
  .extend({
    state: z.enum(['live', 'lost']).describe('lost: shows no sign of life, and did not say goodbye'),
    processes: z.int().describe('How many processes it is'),
    first_seen_at: Timestamp,
    last_seen_at: Timestamp.describe('Its last sign of life; of one that is alive: now'),
    store_age_ms: z.int().nullable().describe('How old its view of the store is, ms; null when it does not say'),
  })
  .meta({ id: 'Worker' });

const WorkerTenant = WorkerState.pick({ state: true, wanted: true, applied: true, refused: true })
  .extend({ tenant_id: z.string() })
  .meta({ id: 'WorkerTenant' });

const Params = z.strictObject({ worker_id: z.string().regex(WORKER_ID, 'is no id of a worker').describe('Its id') });

/** Tenants that are looked at for one page: each costs a look into the store. */
const MOST_TENANTS = 100;

export function workerRoutes(context: Context): FastifyPluginAsyncZod {
  const { db, fleet, now } = context;

  const body = ({ record, alive, first_seen_at, last_seen_at }: KnownWorker): z.output<typeof Worker> => {
    const { schema: _, left: _1, store_seen_at, ...rest } = record;
    return {
      ...rest,
      state: alive ? 'live' : 'lost',
      processes: rest.processes ?? 1,
      first_seen_at: new Date(first_seen_at).toISOString(),
      last_seen_at: new Date(last_seen_at).toISOString(),
      store_age_ms: ageOf(store_seen_at, now()),
    };
  };
  const find = async (id: string): Promise<KnownWorker> => {
    const worker = (await fleet.workers()).find(({ record }) => record.id === id);
    if (!worker) throw notFound('worker', id);
    return worker;
  };

  return async (app) => {
    app.get(
      '/workers',
      {
        config: access('read', 'all'),
        schema: {
          tags: ['workers'],
          summary: 'List workers, by id: those that are alive, and those that were lost',
          querystring: PageQuery.extend({ state: z.enum(['live', 'lost']).optional().describe('Only these') }),
          response: { 200: pageOf(Worker) },
        },
      },
      async (request) => {
        const { limit, cursor, state } = request.query;
        const after = cursorKey(cursor, z.string()) ?? '';
        const workers = (await fleet.workers())
          .filter(({ record, alive }) => record.id > after && (state === undefined || alive === (state === 'live')))
          .slice(0, limit + 1);
        return page(workers, limit, ({ record }) => record.id, body);
      },
    );

    app.get(
      '/workers/:worker_id',
      {
        config: access('read', 'all'),
        schema: { tags: ['workers'], summary: 'Get a worker', params: Params, response: { 200: Worker } },
      },
      async (request) => body(await find(request.params.worker_id)),
    );

    app.get(
      '/workers/:worker_id/tenants',
      {
        config: access('read', 'all'),
        schema: {
          tags: ['workers'],
          summary: 'Which version of which tenant a worker runs, or refused and why; by id of the tenant',
          params: Params,
          querystring: PageQuery.extend({
            limit: wholeNumber(1, MOST_TENANTS).prefault(MOST_TENANTS).describe('Tenants looked at'),
          }),
          response: { 200: pageOf(WorkerTenant) },
        },
      },
      async (request) => {
        const { worker_id } = request.params;
        const { limit, cursor } = request.query;
        await find(worker_id);
        const tenants = await db.client.tenant.findMany({
          where: { tenant_id: { gt: cursorKey(cursor, z.string()) ?? '' }, version: { gt: 0 } },
          orderBy: { tenant_id: 'asc' },
          take: limit + 1,
          select: { tenant_id: true },
        });
        const { items, next_cursor } = page(
          tenants,
          limit,
          (tenant) => tenant.tenant_id,
          ({ tenant_id }) => tenant_id,
        );
        const states = await Promise.all(
          items.map(async (tenant_id) => {
            const wanted = await wantedHead(db.client, tenant_id);
            if (!wanted) return [];
            const { workers } = await answersOf(context, tenant_id, (worker) =>
              worker.id === worker_id ? (chosen(wanted.head, worker)?.version ?? null) : null,
            );
            return workers.map(({ state, wanted, applied, refused }) => ({
              ...{ tenant_id, state, wanted, applied, refused },
            }));
          }),
        );
        return { items: states.flat(), next_cursor };
      },
    );

    app.delete(
      '/workers/:worker_id',
      {
        config: access('admin', 'all'),
        schema: {
          tags: ['workers'],
          summary: 'Forget a worker that is gone for good',
          description: 'Releases wait for no answer of it any more. One that is alive cannot be forgotten: 409.',
          params: Params,
          response: { 204: z.null().describe('Forgotten') },
        },
      },
      async (request, reply) => {
        const { worker_id } = request.params;
        const worker = await fleet.forget(worker_id);
        if (!worker) throw notFound('worker', worker_id);
        if (worker.alive) throw new Problem('conflict', 'This worker is alive: stop it first');
        await db.write((tx) =>
          audit(
            tx,
            {
              ...{ tenant_id: '', actor: request.actor.name, action: 'worker.forget', target: worker_id },
              ...{ before: body(worker), after: null, version: null, request_id: request.id },
            },
            new Date(now()),
          ),
        );
        return reply.code(204).send(null);
      },
    );
  };
}
