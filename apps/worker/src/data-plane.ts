/** All of a process that serves traffic: what follows the store, compiles, listens and counts. */
import { join, resolve } from 'node:path';
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import { chosen } from '@arcus/control/chosen.ts';
import type { TenantStatus } from '@arcus/control/release.ts';
import { loadSealer } from '@arcus/control/seal.ts';
import { loadVerifier } from '@arcus/control/sign.ts';
import type { ConfigStore } from '@arcus/control/store.ts';
import { Limits } from '@arcus/gateway/limits.ts';
import { Live } from '@arcus/gateway/live.ts';
import type { Services } from '@arcus/gateway/services.ts';
import { Stats } from '@arcus/gateway/stats.ts';
import { Wheel } from '@arcus/gateway/wheel.ts';
import type { Logger } from 'pino';
import { lineDestination, openDecisionLog } from './decision-log.ts';
import type { WorkerEnv } from './env.ts';
import { latch, patiently } from './lanes.ts';
import { Listeners, type ListenersOptions } from './listeners.ts';
import { ReleaseLoader } from './loader.ts';
import type { Gauge } from './metrics.ts';
import { ProcessGauges } from './process-gauges.ts';
import { Runtime } from './runtime.ts';
import { Snapshot } from './snapshot.ts';
import { warmUp } from './warm-up.ts';
import { watch } from './watch.ts';

/** So long a deleted tenant is remembered, so that no old head brings it back. A head's number is about its time, ms. */
const KEEP_DELETED_MS = 30 * 86_400_000;

/** What a worker's front door shows, whether one process serves behind it or several. */
export interface Plane {
  readonly stats: Stats;
  /** Tenants served, and tenants whose newest release was refused. */
  readonly counts: { readonly tenants: number; readonly refused: number };
  /** The first load is done. */
  readonly ready: boolean;
  /** What is wrong and does not stop it from serving. */
  problems(): string[];
  gauges(): Gauge[];
}

export interface DataPlaneOptions {
  readonly env: WorkerEnv;
  /** Id of the worker. */
  readonly id: string;
  /** Folder of the snapshot. */
  readonly snapshotDir: string;
  readonly store: ConfigStore;
  readonly log: Logger;
  readonly report: (tenant: string, status: TenantStatus | null) => void;
  /** The store said something. */
  readonly onHeard: () => void;
  /** Set for one of several processes that listen on the same addresses and write to the same log. */
  readonly group?: Required<Pick<ListenersOptions, 'open' | 'share'>> & { readonly limits: Limits };
}

/** A client that sends while its idle connection is closed meets a reset: so long it gets the chance to ask once more, ms. */
const IDLE_GRACE_MS = 1_000;
/** After its last answer a client has so long to see that its connection ends, ms. */
const LINGER_MS = 1_000;

/** Sessions that were cut have so long to write their line, and the disk to take the last lines, ms. */
const END_MS = 1_000;

export interface DataPlane extends Plane {
  /** Loads and follows. Resolves when it is ready; fails when it was closed before. */
  start(): Promise<void>;
  readonly listeners: Pick<Listeners, 'lend'>;
  /** Writes nothing to the snapshot any more, until `resume`. */
  hold(): Promise<void>;
  resume(): void;
  /**
   * Lets sessions end until the drain time is over; `now`, also of a second call, cuts them. `handover`: nobody waits
   * for the end, so idle connections may stay almost as long.
   */
  close(options?: { now?: boolean; handover?: boolean }): Promise<void>;
}

export async function openDataPlane(options: DataPlaneOptions): Promise<DataPlane> {
  const { env, id, store, log, report, onHeard, group } = options;
  // The example is ours: if it fails, so will real releases, and they tell why.
  await warmUp().catch((err) => log.warn({ err }, 'the example of a release does not compile'));
  const worker = { id, labels: env.ARCUS_WORKER_LABELS };
  const verifier = await loadVerifier(env);
  const shared = group !== undefined;
  const drainMs = env.ARCUS_DRAIN_SECONDS * 1000;

  const stats = new Stats();
  const wheel = new Wheel();
  const snapshot = await Snapshot.open({
    dir: options.snapshotDir,
    log,
    fetch: (sha256) => store.getBlobs(sha256),
  });
  const decisions = openDecisionLog(
    decisionSink(env.ARCUS_DECISION_LOG, shared),
    (err) => log.error({ err }, 'decisions cannot be logged'),
    shared && env.ARCUS_DECISION_LOG === 'stdout',
  );
  const limits = group?.limits ?? new Limits(Date.now);
  const services: Services = { now: Date.now, wheel, stats, limits, record: decisions.record, worker: id };
  const listeners: Listeners = new Listeners({
    ...(group && { open: group.open, share: group.share }),
    onFreed: () => runtime.retryAddresses(),
    onError: (err, address) => log.error({ err, address }, 'a listener failed'),
  });
  const runtime: Runtime = new Runtime({
    worker,
    verifier,
    live: new Live(),
    loader: new ReleaseLoader(),
    listeners,
    compile: { services, unseal: await unsealer(env), stored: true },
    store,
    snapshot,
    report,
    forget: (tenant) => {
      stats.forget(tenant);
      limits.forget(tenant);
    },
    log,
    drainMs,
  });
  const process = new ProcessGauges();
  const watching = new AbortController();
  let ready = false;
  let cut = false;
  let closed: Promise<void> | undefined;
  /** The snapshot is being marked as whole. */
  let marked: Promise<void> = Promise.resolve();
  /**
   * While it stops: idle connections stay so long, by performance.now, as all of a drain: a time of day that is set must
   * neither cut sessions nor keep them for an hour.
   */
  let idleUntil = Infinity;

  /** Local snapshot -> ready -> store -> deltas. Without a snapshot the store's first list comes before ready. */
  async function boot(): Promise<void> {
    let restored = 0;
    for await (const { tenant, head, manifest, blobs } of snapshot.load()) {
      if (head.deleted && head.seq < Date.now() - KEEP_DELETED_MS) {
        snapshot.remove(tenant);
        continue;
      }
      // It may have been another worker when it was saved: other labels, other choice. Its head's number counts anyway.
      const chose = manifest !== null && chosen(head, worker)?.version === manifest.version;
      const source = {
        getManifest: async () => manifest,
        getBlobs: async (sha256: readonly string[]) => new Map(sha256.map((sha) => [sha, blobs.get(sha)!])),
      };
      await runtime.room();
      runtime.restore(tenant, head, chose ? source : null);
      if (chose) restored++;
    }
    await runtime.settled();
    const whole = await snapshot.whole();
    if (restored > 0) log.info({ tenants: restored, whole }, 'restored from the snapshot');
    ready = whole;
    if (!whole) snapshot.gather();

    const listed = latch();
    const onListed = async () => {
      await runtime.settled();
      ready = true;
      listed.open();
      marked = snapshot.markWhole();
    };
    const followed = watch({ store, orders: runtime, log, signal: watching.signal, onListed, onHeard }).then(() => {
      if (!ready) throw new Error('closed before it was ready');
    });
    followed.catch((err) => {
      if (!watching.signal.aborted) log.error({ err }, 'the store is not followed any more');
    });
    if (!whole) await Promise.race([listed.promise, followed]);
  }

  /** Until nothing is open any more, or the time is over. Releases are followed meanwhile: who asks now is judged by them. */
  async function drain(): Promise<void> {
    listeners.drain();
    let told: number | undefined;
    // Timers come before the sockets that are readable: after those, what has been sent to us is no idle connection's.
    for (const until = performance.now() + drainMs; ; await wait(20).then(() => turn())) {
      const now = performance.now();
      if (cut || now >= until) return;
      if (now >= idleUntil) {
        // From when clients were told, be it late: who hears of it and is cut at once may have sent a request.
        told ??= now;
        listeners.endIdle();
      }
      const open = listeners.connections > 0 && (told === undefined || now < told + LINGER_MS);
      if (runtime.sessions === 0 && !open) return;
    }
  }

  /** Sessions whose sockets were destroyed say so in a later turn: each still writes its line and its counters. */
  async function ended(): Promise<void> {
    await patiently(() => runtime.sessions === 0, END_MS);
    if (runtime.sessions > 0) log.warn({ sessions: runtime.sessions }, 'sessions did not end, and are not logged');
  }

  async function shut(): Promise<void> {
    await drain();
    watching.abort();
    runtime.close();
    if (runtime.sessions > 0) log.info({ sessions: runtime.sessions }, 'cutting the sessions that are left');
    listeners.destroy();
    await marked;
    await snapshot.close();
    await ended();
    wheel.close();
    process.close();
    decisions.close();
    // The last lines are on their way to the disk: who ends the process next must not cut them off.
    await patiently(() => decisions.closed, END_MS);
  }

  return {
    stats,
    get counts() {
      return runtime.counts;
    },
    get ready() {
      return ready && closed === undefined;
    },
    problems: () => (snapshot.failures > 0 ? ['the snapshot cannot be written'] : []),
    gauges: () => [
      gauge('arcus_listeners', 'Addresses listened on', listeners.size),
      gauge('arcus_connections_open', 'Connections of clients open now', listeners.connections),
      gauge('arcus_sessions', 'Sessions that run now', runtime.sessions),
      counter('arcus_releases_applied_total', 'Releases applied', runtime.releasesApplied),
      counter('arcus_releases_refused_total', 'Releases refused', runtime.releasesRefused),
      counter('arcus_decisions_dropped_total', 'Decisions that could not be logged', decisions.dropped),
      gauge('arcus_snapshot_failures', 'Snapshot writes that failed in a row', snapshot.failures),
      ...process.read(),
    ],
    listeners,
    hold: () => snapshot.hold(),
    resume: () => snapshot.resume(),
    start: boot,
    close({ now = false, handover = false } = {}) {
      cut ||= now;
      const idleMs = handover ? Math.max(drainMs - LINGER_MS, drainMs / 2) : Math.min(IDLE_GRACE_MS, drainMs / 2);
      idleUntil = Math.min(idleUntil, performance.now() + idleMs);
      closed ??= shut();
      return closed;
    },
  };
}

const gauge = (name: string, help: string, value: number): Gauge => ({ name, type: 'gauge', help, value });
const counter = (name: string, help: string, value: number): Gauge => ({ name, type: 'counter', help, value });

function decisionSink(to: string, shared: boolean) {
  if (to === 'off') return null;
  return to === 'stdout' ? lineDestination(1, shared) : lineDestination(resolve(to), false);
}

/** Without a key tenants without secrets are served, and the others refused. */
async function unsealer(env: WorkerEnv): Promise<(value: string, place: string) => string> {
  if (env.ARCUS_SECRET_KEY === undefined && env.ARCUS_SECRET_KEY_FILE === undefined) {
    return () => {
      throw new Error('this worker has no secret key (ARCUS_SECRET_KEY)');
    };
  }
  const sealer = await loadSealer(env);
  return (value, place) => sealer.unseal(value, place);
}

/** Where a worker keeps what it runs. */
export const snapshotFolder = (env: WorkerEnv, id: string): string => join(resolve(env.ARCUS_DATA), 'worker', id);
