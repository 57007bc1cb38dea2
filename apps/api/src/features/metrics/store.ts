/** Counters that workers flush to Redis, added up over workers. The layout is apps/worker/src/stats-redis.ts's. */
import { type Dimension, dimensions, latencyBounds } from '@arcus/gateway/stats.ts';
import type { Redis } from 'ioredis';
import { Problem } from '../../http/problem.ts';

export const PREFIX = 'arcus:';

/** Running totals over restarts of workers, kept for 30 days after the last request. */
export const totalNames = ['total', 'success', 'blocked', 'errors', 'bytes_in', 'bytes_out'] as const;
export type Totals = Record<(typeof totalNames)[number], number>;

const counts = ['connections', 'requests', 'bytes_in', 'bytes_out', 'errors', 'blocked', 'active'] as const;

/** Counters of one thing since its workers started. Latencies are estimates from a histogram, ms; null without requests. */
export type Counts = Record<(typeof counts)[number], number> & {
  latency_ms: { mean: number | null; p50: number | null; p90: number | null; p99: number | null };
};

/** Problem 'unavailable' when Redis does not answer: nothing but metrics needs it. */
async function ask<T>(redis: Redis | null, query: (redis: Redis) => Promise<T>): Promise<T> {
  if (!redis) throw new Problem('unavailable', 'This installation has no Redis: it keeps no metrics');
  try {
    return await query(redis);
  } catch (error) {
    throw new Problem('unavailable', 'Redis, which keeps the metrics, cannot be reached', { cause: error });
  }
}

const toTotals = (values: readonly (string | null)[]): Totals =>
  Object.fromEntries(totalNames.map((name, i) => [name, Number(values[i] ?? 0)])) as Totals;

/** Totals per tenant, in the given order. */
export async function readTotals(redis: Redis | null, tenants: readonly string[]): Promise<Totals[]> {
  return ask(redis, async (client) => {
    const all: Totals[] = [];
    for (let from = 0; from < tenants.length; from += 500) {
      const pipeline = client.pipeline();
      for (const tenant of tenants.slice(from, from + 500)) {
        pipeline.hmget(`${PREFIX}metrics:tenant:${tenant}:requests`, ...totalNames);
      }
      for (const [error, values] of (await pipeline.exec()) ?? []) {
        if (error) throw error;
        all.push(toTotals(values as (string | null)[]));
      }
    }
    return all;
  });
}

export type ByDimension = Record<Dimension, Map<string, Counts>>;

/** What the given workers (null: those that lately said so themselves) count for a tenant, per dimension and name. */
export async function readCounts(
  redis: Redis | null,
  tenant: string,
  workers: readonly string[] | null,
): Promise<ByDimension> {
  return ask(redis, async (client) => {
    const ids = workers ?? (await client.hkeys(`${PREFIX}connections:active:${tenant}`));
    const pipeline = client.pipeline();
    for (const id of ids) pipeline.hgetall(`${PREFIX}metrics:tenant:${tenant}:${id}`);
    const sums = Object.fromEntries(dimensions.map((d) => [d, new Map<string, Map<string, number>>()])) as Record<
      Dimension,
      Map<string, Map<string, number>>
    >;
    for (const [error, fields] of ids.length === 0 ? [] : ((await pipeline.exec()) ?? [])) {
      if (error) throw error;
      for (const [field, value] of Object.entries(fields as Record<string, string>)) {
        // `<dimension>:<name>:<counter>`; a name may have colons, the others have none.
        const first = field.indexOf(':');
        const last = field.lastIndexOf(':');
        const names = sums[field.slice(0, first) as Dimension];
        if (!names || last <= first) continue;
        const name = field.slice(first + 1, last);
        let counters = names.get(name);
        if (!counters) {
          counters = new Map();
          names.set(name, counters);
        }
        const counter = field.slice(last + 1);
        counters.set(counter, (counters.get(counter) ?? 0) + Number(value));
      }
    }
    return Object.fromEntries(
      dimensions.map((d) => [d, new Map([...sums[d]].map(([name, counters]) => [name, toCounts(counters)]))]),
    ) as ByDimension;
  });
}

function toCounts(counters: ReadonlyMap<string, number>): Counts {
  const buckets = [...latencyBounds.map((bound) => counters.get(`le_${bound}`) ?? 0), counters.get('le_inf') ?? 0];
  const observed = buckets.reduce((a, b) => a + b, 0);
  return {
    ...(Object.fromEntries(counts.map((name) => [name, counters.get(name) ?? 0])) as Record<
      (typeof counts)[number],
      number
    >),
    latency_ms: {
      mean: observed === 0 ? null : (counters.get('latency_sum') ?? 0) / observed,
      p50: quantile(buckets, observed, 0.5),
      p90: quantile(buckets, observed, 0.9),
      p99: quantile(buckets, observed, 0.99),
    },
  };
}

/** Linear within the bucket; the last bucket has no upper end and answers its lower one. */
export function quantile(buckets: readonly number[], observed: number, q: number): number | null {
  if (observed === 0) return null;
  let rank = q * observed;
  for (const [i, count] of buckets.entries()) {
    const low = i === 0 ? 0 : latencyBounds[i - 1]!;
    const high = latencyBounds[i];
    if (rank <= count || i === buckets.length - 1) {
      return high === undefined || count === 0 ? low : low + ((high - low) * rank) / count;
    }
    rank -= count;
  }
  return null;
}
