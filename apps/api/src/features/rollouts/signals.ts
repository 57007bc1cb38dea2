/** What the workers' own counters say of a release, from Redis (layout: apps/worker/src/stats-redis.ts). */
import { latencyBounds } from '@arcus/gateway/stats.ts';
import type { Redis } from 'ioredis';
import { PREFIX, quantile } from '../metrics/store.ts';

/** A worker's counters of one tenant since it started. */
export interface WorkerCounts {
  readonly requests: number;
  readonly errors: number;
  /** Requests per bucket of latency. */
  readonly latency: readonly number[];
}

export type FleetCounts = Readonly<Record<string, WorkerCounts>>;

export interface Signal {
  readonly workers: number;
  readonly requests: number;
  readonly errors: number;
  /** Share of failed requests; null without requests. */
  readonly error_rate: number | null;
  readonly p99_ms: number | null;
}

/** Where the new release runs, and where the stable one does. */
export interface Comparison {
  readonly rollout: Signal;
  readonly stable: Signal;
}

const buckets = [...latencyBounds.map((bound) => `le_${bound}`), 'le_inf'];

/** Null: nobody can tell now. A worker that had no traffic lately has zeros. */
export async function readFleet(redis: Redis | null, tenant: string, workers: readonly string[]) {
  if (!redis) return null;
  try {
    const pipeline = redis.pipeline();
    const fields = ['requests', 'errors', ...buckets].map((name) => `tenant::${name}`);
    for (const id of workers) pipeline.hmget(`${PREFIX}metrics:tenant:${tenant}:${id}`, ...fields);
    const counts: Record<string, WorkerCounts> = {};
    for (const [i, [error, values]] of ((await pipeline.exec()) ?? []).entries()) {
      if (error) return null;
      const [requests = 0, errors = 0, ...latency] = (values as (string | null)[]).map((value) => Number(value ?? 0));
      counts[workers[i]!] = { requests, errors, latency };
    }
    return counts as FleetCounts;
  } catch {
    return null;
  }
}

/**
 * What went through since `before`, apart for workers with the new release and with the stable one. Of a worker that
 * `before` does not know nothing is: nobody can tell under which release it counted.
 */
export function compare(before: FleetCounts, now: FleetCounts, isNew: (worker: string) => boolean): Comparison {
  const ids = Object.keys(now);
  return {
    rollout: signalOf(before, now, ids.filter(isNew)),
    stable: signalOf(
      before,
      now,
      ids.filter((id) => !isNew(id)),
    ),
  };
}

/**
 * A counter that went back is one of a worker that started anew. Each by itself: what such a worker has not counted yet
 * stands in Redis as it was.
 */
const since = (before: number, now: number): number => (now >= before ? now - before : now);

function signalOf(before: FleetCounts, now: FleetCounts, ids: readonly string[]): Signal {
  let requests = 0;
  let errors = 0;
  const latency: number[] = buckets.map(() => 0);
  for (const id of ids) {
    const last = now[id]!;
    const base = before[id];
    if (!base) continue;
    requests += since(base.requests, last.requests);
    errors += since(base.errors, last.errors);
    for (const [i, n] of last.latency.entries()) latency[i]! += since(base.latency[i] ?? 0, n);
  }
  const observed = latency.reduce((a, b) => a + b, 0);
  return {
    ...{ workers: ids.length, requests, errors },
    error_rate: requests === 0 ? null : errors / requests,
    p99_ms: quantile(latency, observed, 0.99),
  };
}

/** Fewer requests than that say nothing before the time is over. */
const ENOUGH = 20;

/** Why the new release must not go on; null when there is no reason. */
export function breach(
  { rollout, stable }: Comparison,
  limits: { error_rate?: number | undefined; p99_ms?: number | undefined },
  over: boolean,
): string | null {
  if (rollout.requests === 0 || (!over && rollout.requests < ENOUGH)) return null;
  const { error_rate, p99_ms } = limits;
  if (error_rate !== undefined && rollout.error_rate! > (stable.error_rate ?? 0) + error_rate) {
    return `${percent(rollout.error_rate)} of ${rollout.requests} requests failed${against(percent(stable.error_rate), stable)}`;
  }
  if (p99_ms !== undefined && rollout.p99_ms !== null && rollout.p99_ms > (stable.p99_ms ?? 0) + p99_ms) {
    return `the 99th percentile of the latency is ${ms(rollout.p99_ms)}${against(ms(stable.p99_ms), stable)}`;
  }
  return null;
}

const percent = (rate: number | null): string => `${((rate ?? 0) * 100).toFixed(1)} %`;
const ms = (value: number | null): string => `${Math.round(value ?? 0)} ms`;
const against = (value: string, stable: Signal): string =>
  stable.requests === 0
    ? ', and there is no traffic on the stable release to compare with'
    : `, ${value} on the stable release`;

const one = (signal: Signal): string =>
  signal.requests === 0
    ? 'no traffic'
    : `${signal.requests} requests, ${percent(signal.error_rate)} failed` +
      (signal.p99_ms === null ? '' : `, 99 % within ${ms(signal.p99_ms)}`);

export const describe = ({ rollout, stable }: Comparison): string =>
  `new release: ${one(rollout)}; stable release: ${stable.workers === 0 ? 'no worker' : one(stable)}`;
