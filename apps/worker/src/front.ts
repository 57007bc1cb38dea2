/** A worker's one face, however many processes serve behind it: its lease and answers, its statistics, its admin port. */
import { hostname } from 'node:os';
import { SCHEMA, type TenantStatus } from '@arcus/control/release.ts';
import type { ConfigStore } from '@arcus/control/store.ts';
import type { Logger } from 'pino';
import software from '../package.json' with { type: 'json' };
import { startAdmin } from './admin.ts';
import type { Plane } from './data-plane.ts';
import type { WorkerEnv } from './env.ts';
import { formatAddress } from './listeners.ts';
import { type Gauge, renderMetrics } from './metrics.ts';
import { Reporter } from './report.ts';
import { RedisStats } from './stats-redis.ts';

export interface Front {
  /** `host:port` that it listens on. */
  readonly admin: string;
  /** What the worker runs of a tenant; null when nothing any more. */
  report(tenant: string, status: TenantStatus | null): void;
  /** The store said something. */
  heard(): void;
  /** Not ready any more, and gone for the control plane. */
  leave(): Promise<void>;
  close(): Promise<void>;
}

export interface FrontOptions {
  readonly env: WorkerEnv;
  readonly id: string;
  readonly store: ConfigStore;
  readonly log: Logger;
  readonly plane: Plane;
  /** How many there are behind it. */
  readonly processes: number;
}

export async function startFront({ env, id, store, log, plane, processes }: FrontOptions): Promise<Front> {
  const startedAt = new Date().toISOString();
  let leaving = false;
  // By a clock that is never set back.
  let heard = performance.now();
  const onHeard = () => {
    heard = performance.now();
  };
  const reporter = new Reporter({
    store,
    log,
    onHeard,
    record: () => ({
      schema: SCHEMA,
      id,
      labels: env.ARCUS_WORKER_LABELS,
      host: hostname(),
      pid: process.pid,
      software: software.version,
      started_at: startedAt,
      reported_at: new Date().toISOString(),
      admin: formatAddress(env.ARCUS_ADMIN_LISTEN),
      ...plane.counts,
      processes,
      store_seen_at: new Date(heard).toISOString(),
    }),
  });
  const redis = env.ARCUS_REDIS_URL
    ? new RedisStats({ url: env.ARCUS_REDIS_URL, worker: id, stats: plane.stats, log })
    : null;

  const health = () => {
    const reasons = [
      ...(reporter.healthy ? [] : ['the config store does not answer']),
      ...(redis && !redis.healthy ? ['Redis does not answer'] : []),
      ...plane.problems(),
      ...(leaving ? ['shutting down'] : []),
    ];
    const status = reasons.length > 0 ? ('degraded' as const) : ('healthy' as const);
    const uptime_seconds = Math.floor(process.uptime());
    return { status, reasons, worker: id, ready: plane.ready && !leaving, ...plane.counts, uptime_seconds };
  };
  const gauges = (): Gauge[] => {
    const { ready, tenants, refused } = health();
    const info = { [`worker="${id}",version="${software.version}"`]: 1 };
    const age = (performance.now() - heard) / 1000;
    const failures = redis?.failures ?? 0;
    return [
      { name: 'arcus_worker_info', type: 'gauge', help: 'Which worker this is', value: info },
      { name: 'arcus_ready', type: 'gauge', help: 'Is the first load done?', value: ready ? 1 : 0 },
      { name: 'arcus_tenants', type: 'gauge', help: 'Tenants served', value: tenants },
      {
        name: 'arcus_tenants_refused',
        type: 'gauge',
        help: 'Tenants whose newest release was refused',
        value: refused,
      },
      { name: 'arcus_config_age_seconds', type: 'gauge', help: 'Time since the store last answered', value: age },
      {
        name: 'arcus_redis_flush_failures_total',
        type: 'counter',
        help: 'Flushes Redis did not take',
        value: failures,
      },
      ...plane.gauges(),
    ];
  };
  const admin = await startAdmin({
    listen: env.ARCUS_ADMIN_LISTEN,
    health,
    metrics: () => renderMetrics(gauges(), plane.stats),
  }).catch(async (error) => {
    await Promise.all([reporter.close(), redis?.close()]);
    throw error;
  });

  return {
    admin: admin.address,
    report: (tenant, status) => reporter.set(tenant, status),
    heard: onHeard,
    async leave() {
      leaving = true;
      await reporter.close();
    },
    async close() {
      await Promise.all([reporter.close(), redis?.close(), admin.close()]);
    },
  };
}
