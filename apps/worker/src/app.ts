/** The composition root of one worker process: everything is made here, and closed here in reverse. */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { WORKER_ID } from '@arcus/control/keys.ts';
import { openStoreFromEnv } from '@arcus/control/open.ts';
import { SCHEMA } from '@arcus/control/release.ts';
import { loadSealer } from '@arcus/control/seal.ts';
import type { ConfigStore } from '@arcus/control/store.ts';
import { Live } from '@arcus/gateway/live.ts';
import type { Services } from '@arcus/gateway/services.ts';
import { Stats } from '@arcus/gateway/stats.ts';
import { Wheel } from '@arcus/gateway/wheel.ts';
import pino, { type Logger } from 'pino';
import software from '../package.json' with { type: 'json' };
import { startAdmin } from './admin.ts';
import { lineDestination, openDecisionLog } from './decision-log.ts';
import { idFromHost, type WorkerEnv } from './env.ts';
import { formatAddress, Listeners } from './listeners.ts';
import { ReleaseLoader } from './loader.ts';
import { type Gauge, renderMetrics } from './metrics.ts';
import { ProcessGauges } from './process-gauges.ts';
import { Reporter } from './report.ts';
import { Runtime } from './runtime.ts';
import { Snapshot } from './snapshot.ts';
import { RedisStats } from './stats-redis.ts';
import { watch } from './watch.ts';

/** What an embedding process may lend; what is lent is not closed here. */
export interface WorkerDeps {
  readonly store?: ConfigStore;
  readonly log?: Logger;
}

export interface Worker {
  readonly id: string;
  /** `host:port` of /health, /ready and /metrics. */
  readonly admin: string;
  /** Serves: what the snapshot had, or else the first list of the store, is applied. */
  readonly ready: Promise<void>;
  /** Lets sessions end until the drain time is over; `now` cuts them. A second call with `now` cuts the first short. */
  close(options?: { now?: boolean }): Promise<void>;
}

/** Starts a worker. Resolves when its admin address answers; fails when that or its data folder cannot be had. */
export async function startWorker(env: WorkerEnv, deps: WorkerDeps = {}): Promise<Worker> {
  const sink =
    env.ARCUS_DECISION_LOG === 'off'
      ? null
      : lineDestination(env.ARCUS_DECISION_LOG === 'stdout' ? 1 : resolve(env.ARCUS_DECISION_LOG));
  const log = deps.log ?? pino({ level: env.ARCUS_LOG_LEVEL, base: null });
  const folder = join(resolve(env.ARCUS_DATA), 'worker');
  const id = env.ARCUS_WORKER_ID ?? (await keptId(folder));
  const startedAt = new Date();

  const store = deps.store ?? (await openStoreFromEnv(env));
  const decisions = openDecisionLog(sink, (err) => log.error({ err }, 'decisions cannot be logged'));
  const stats = new Stats();
  const wheel = new Wheel();
  const services: Services = { now: Date.now, wheel, stats, record: decisions.record, worker: id };
  const sealed = env.ARCUS_SECRET_KEY !== undefined || env.ARCUS_SECRET_KEY_FILE !== undefined;
  const sealer = sealed ? await loadSealer(env) : null;
  // Without a key tenants without secrets are served, and the others refused.
  const unseal = (value: string, place: string): string => {
    if (sealer === null) throw new Error('this worker has no secret key (ARCUS_SECRET_KEY)');
    return sealer.unseal(value, place);
  };
  const live = new Live();
  const loader = new ReleaseLoader();
  const snapshot = await Snapshot.open({ dir: join(folder, id), log, fetch: (sha256) => store.getBlobs(sha256) });
  const redis = env.ARCUS_REDIS_URL ? new RedisStats({ url: env.ARCUS_REDIS_URL, worker: id, stats, log }) : null;
  const gauges = new ProcessGauges();
  const drainMs = env.ARCUS_DRAIN_SECONDS * 1000;

  const listeners: Listeners = new Listeners({
    onFreed: () => runtime.retryAddresses(),
    onError: (err, address) => log.error({ err, address }, 'a listener failed'),
  });
  const runtime: Runtime = new Runtime({
    live,
    loader,
    listeners,
    compile: { services, unseal, stored: true },
    store,
    snapshot,
    report: (tenant, status) => reporter.set(tenant, status),
    forget: (tenant) => stats.forget(tenant),
    log,
    drainMs,
  });

  let ready = false;
  let closing = false;
  let cut = false;
  let heard = Date.now();
  const reporter = new Reporter({
    store,
    log,
    onHeard: () => {
      heard = Date.now();
    },
    record: () => ({
      schema: SCHEMA,
      id,
      labels: env.ARCUS_WORKER_LABELS,
      host: hostname(),
      pid: process.pid,
      software: software.version,
      started_at: startedAt.toISOString(),
      reported_at: new Date().toISOString(),
      admin: formatAddress(env.ARCUS_ADMIN_LISTEN),
      ...runtime.counts,
    }),
  });

  const admin = await startAdmin({
    listen: env.ARCUS_ADMIN_LISTEN,
    health: () => {
      const reasons = [
        ...(reporter.healthy ? [] : ['the config store does not answer']),
        ...(redis && !redis.healthy ? ['Redis does not answer'] : []),
        ...(snapshot.failures > 0 ? ['the snapshot cannot be written'] : []),
        ...(closing ? ['shutting down'] : []),
      ];
      return {
        status: reasons.length > 0 ? 'degraded' : 'healthy',
        reasons,
        worker: id,
        ready: ready && !closing,
        ...runtime.counts,
        uptime_seconds: Math.floor(process.uptime()),
      };
    },
    metrics: () => renderMetrics([...ownGauges(), ...gauges.read()], stats),
  }).catch(async (error) => {
    closing = true;
    await Promise.all([reporter.close(), release()]);
    throw error;
  });

  function ownGauges(): Gauge[] {
    const { tenants, refused } = runtime.counts;
    const gauge = (name: string, help: string, value: number): Gauge => ({ name, type: 'gauge', help, value });
    const counter = (name: string, help: string, value: number): Gauge => ({ name, type: 'counter', help, value });
    return [
      {
        name: 'arcus_worker_info',
        type: 'gauge',
        help: 'Which worker this is',
        value: { [`worker="${id}",version="${software.version}"`]: 1 },
      },
      gauge('arcus_ready', 'Is the first load done?', ready && !closing ? 1 : 0),
      gauge('arcus_tenants', 'Tenants served', tenants),
      gauge('arcus_tenants_refused', 'Tenants whose newest release was refused', refused),
      counter('arcus_releases_applied_total', 'Releases applied', runtime.releasesApplied),
      counter('arcus_releases_refused_total', 'Releases refused', runtime.releasesRefused),
      gauge('arcus_config_age_seconds', 'Time since the config store last answered', (Date.now() - heard) / 1000),
      gauge('arcus_listeners', 'Addresses listened on', listeners.size),
      gauge('arcus_connections_open', 'Connections of clients open now', listeners.connections),
      gauge('arcus_sessions', 'Sessions that run now', runtime.sessions),
      counter('arcus_redis_flush_failures_total', 'Flushes that Redis did not take', redis?.failures ?? 0),
      counter('arcus_decisions_dropped_total', 'Decisions that could not be logged', decisions.dropped),
      gauge('arcus_snapshot_failures', 'Snapshot writes that failed in a row', snapshot.failures),
    ];
  }

  const watching = new AbortController();
  const boot = async (): Promise<void> => {
    let restored = 0;
    for await (const saved of snapshot.load()) {
      runtime.restore(saved.tenant, saved.head, {
        getManifest: async () => saved.manifest,
        getBlobs: async (sha256) => new Map(sha256.map((sha) => [sha, saved.blobs.get(sha)!])),
      });
      restored++;
    }
    await runtime.settled();
    const whole = await snapshot.whole();
    if (restored > 0) log.info({ tenants: restored, whole }, 'restored from the snapshot');
    ready = whole;
    await new Promise<void>((listed, failed) => {
      const onListed = async () => {
        await runtime.settled();
        ready = true;
        listed();
        await snapshot.markWhole();
      };
      watch({
        store,
        orders: runtime,
        log,
        signal: watching.signal,
        onListed,
        onHeard: () => (heard = Date.now()),
      }).then(
        () => failed(new Error('closed before it was ready')),
        (error) => failed(error),
      );
      if (whole) listed();
    });
    log.info({ worker: id, admin: admin.address, ...runtime.counts }, 'worker is ready');
  };
  const booted = boot();
  booted.catch((err) => {
    if (!closing) log.error({ err }, 'the worker stopped following the store');
  });

  /** Lets go of what needs no connection any more. */
  async function release(): Promise<void> {
    await Promise.all([snapshot.close(), redis?.close()]);
    wheel.close();
    gauges.close();
    decisions.close();
    if (!deps.store) await store.close();
  }

  async function shut(): Promise<void> {
    closing = true;
    watching.abort();
    await reporter.close();
    listeners.close();
    const until = Date.now() + drainMs;
    while (!cut && runtime.sessions > 0 && Date.now() < until) await wait(20);
    if (runtime.sessions > 0) log.info({ sessions: runtime.sessions }, 'cutting the sessions that are left');
    listeners.destroy();
    runtime.close();
    await Promise.all([admin.close(), release()]);
    log.info({ worker: id }, 'worker stopped');
  }

  let closed: Promise<void> | undefined;
  return {
    id,
    admin: admin.address,
    ready: booted,
    close: ({ now = false } = {}) => {
      cut ||= now;
      closed ??= shut();
      return closed;
    },
  };
}

/** The id that this folder's worker was given the first time. */
async function keptId(folder: string): Promise<string> {
  const file = join(folder, 'id');
  const kept = await readFile(file, 'utf8')
    .then((text) => text.trim())
    .catch(() => '');
  if (WORKER_ID.test(kept)) return kept;
  const id = idFromHost(randomBytes(3).toString('hex'));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(file, `${id}\n`);
  return id;
}
