import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Context } from '../../deps.ts';
import { GLOBAL, TenantParams } from '../../http/ids.ts';
import { cursorKey, PageQuery, page, pageOf } from '../../http/pagination.ts';
import { wholeNumber } from '../../http/whole-number.ts';
import { access } from '../../plugins/auth.ts';
import { mustExist } from '../targets/live.ts';
import { type Counts as CountsOf, readCounts, readTotals, type Totals as TotalsOf } from './store.ts';

const Totals = z
  .object({
    total: z.number().describe('Requests and tunnels'),
    success: z.number(),
    blocked: z.number(),
    errors: z.number(),
    bytes_in: z.number().describe('From clients'),
    bytes_out: z.number().describe('To clients'),
  })
  .meta({ id: 'MetricTotals' });

const Counts = z
  .object({
    connections: z.number(),
    requests: z.number(),
    bytes_in: z.number(),
    bytes_out: z.number(),
    errors: z.number(),
    blocked: z.number(),
    active: z.number().describe('Open now'),
    latency_ms: z
      .object({
        mean: z.number().nullable(),
        p50: z.number().nullable(),
        p90: z.number().nullable(),
        p99: z.number().nullable(),
      })
      .describe('Estimates from a histogram'),
  })
  .meta({ id: 'MetricCounts' });

const Named = z.record(z.string(), Counts);

const TenantMetrics = z
  .object({
    tenant_id: z.string(),
    totals: Totals.describe('Running totals over restarts of workers'),
    now: Counts.describe('Since the workers started'),
    servers: Named,
    escapers: Named,
    users: Named.describe('By group:name, the busiest'),
  })
  .meta({ id: 'TenantMetrics' });

const none: CountsOf = {
  ...{ connections: 0, requests: 0, bytes_in: 0, bytes_out: 0, errors: 0, blocked: 0, active: 0 },
  latency_ms: { mean: null, p50: null, p90: null, p99: null },
};

export function metricsRoutes(context: Context): FastifyPluginAsyncZod {
  const { db, redis, store } = context;
  return async (app) => {
    app.get(
      '/metrics',
      {
        config: access('read', 'all'),
        schema: {
          tags: ['metrics'],
          summary: 'Totals of all tenants together, and of each, a page at a time',
          querystring: PageQuery,
          response: { 200: pageOf(z.object({ tenant_id: z.string(), totals: Totals })).extend({ totals: Totals }) },
        },
      },
      async (request) => {
        const { limit, cursor } = request.query;
        const after = cursorKey(cursor, z.string()) ?? '';
        const rows = await db.client.tenant.findMany({ select: { tenant_id: true }, orderBy: { tenant_id: 'asc' } });
        const ids = rows.map((row) => row.tenant_id);
        const each = await readTotals(redis, ids);
        const totals: TotalsOf = { total: 0, success: 0, blocked: 0, errors: 0, bytes_in: 0, bytes_out: 0 };
        for (const one of each) for (const name of Object.keys(totals) as (keyof TotalsOf)[]) totals[name] += one[name];
        const items = ids.map((tenant_id, i) => ({ tenant_id, totals: each[i]! }));
        const shown = items.filter((item) => item.tenant_id > after && item.tenant_id !== GLOBAL).slice(0, limit + 1);
        return {
          totals,
          ...page(
            shown,
            limit,
            (item) => item.tenant_id,
            (item) => item,
          ),
        };
      },
    );

    app.get(
      '/tenants/:tenant_id/metrics',
      {
        config: access('read', 'tenant'),
        schema: {
          tags: ['metrics'],
          summary: 'Counters of a tenant: totals, and by server, escaper and user',
          params: TenantParams,
          querystring: z.strictObject({
            users: wholeNumber(0, 1000).prefault(100).describe('How many of the busiest users'),
          }),
          response: { 200: TenantMetrics },
        },
      },
      async (request) => {
        const { tenant_id } = request.params;
        await mustExist(context, tenant_id);
        const workers = await store.listWorkers().then(
          (records) => records.filter((record) => !record.left).map((record) => record.id),
          () => null,
        );
        const [[totals], by] = await Promise.all([
          readTotals(redis, [tenant_id]),
          readCounts(redis, tenant_id, workers),
        ]);
        const busiest = [...by.user].sort(([, a], [, b]) => b.requests - a.requests).slice(0, request.query.users);
        return {
          tenant_id,
          totals: totals!,
          now: by.tenant.get(tenant_id) ?? none,
          servers: Object.fromEntries(by.server),
          escapers: Object.fromEntries(by.escaper),
          users: Object.fromEntries(busiest),
        };
      },
    );
  };
}
