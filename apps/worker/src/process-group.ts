/**
 * The processes of one worker. Each serves all tenants on the same addresses; together they are one: a release counts
 * as applied when all have applied it, and as refused when one has refused it; their statistics add up. One that dies
 * is replaced at once, unless it does so again and again. All can be replaced one after another, without a gap.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { TenantStatus } from '@arcus/control/release.ts';
import { Stats } from '@arcus/gateway/stats.ts';
import type { Logger } from 'pino';
import { addCounters } from './counter-values.ts';
import type { Plane } from './data-plane.ts';
import type { WorkerEnv } from './env.ts';
import { backoff, latch } from './lanes.ts';
import type { Gauge } from './metrics.ts';
import { Child } from './process-child.ts';
import { ClientSums } from './process-clients.ts';
import type { CounterValues, FromProcess } from './process-messages.ts';
import { Sockets } from './process-sockets.ts';

/** A process that lived this long did not die of its start. */
const SETTLED_MS = 10_000;
/** After the drain time a process may take so long to end by itself. */
const PATIENCE_MS = 5_000;
/** A successor that is ready may take so long to know what its predecessor has heard since: so many looks, ms apart. */
const CATCH_UP_LOOKS = 100;
const LOOK_MS = 50;
const PROGRAM = new URL('./process.ts', import.meta.url);

/** The place of one process, and who fills it. */
interface Slot {
  readonly index: number;
  current: Child | null;
  /** Started to replace `current`, which still serves. */
  next: Child | null;
  /** Deaths soon after a start, in a row. */
  failures: number;
  timer: NodeJS.Timeout | undefined;
}

export interface ProcessGroupOptions {
  readonly env: WorkerEnv;
  readonly id: string;
  readonly processes: number;
  readonly log: Logger;
  readonly report: (tenant: string, status: TenantStatus | null) => void;
  readonly onHeard: () => void;
  /** What each process runs. */
  readonly program?: URL;
}

export class ProcessGroup implements Plane {
  readonly stats = new Stats();
  readonly #options: ProcessGroupOptions;
  readonly #slots: Slot[];
  readonly #allReady = latch();
  /** Replaced, and not gone yet. */
  readonly #leaving = new Set<Child>();
  readonly #sockets: Sockets<Child>;
  readonly #clients = new ClientSums<Child>((child, changes) => child.tell({ type: 'clients', changes }));
  #restarting: Promise<void> | undefined;
  #restartAgain = false;
  #closed: Promise<void> | undefined;

  constructor(options: ProcessGroupOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.processes }, (_, index) => ({
      ...{ index, current: null, next: null, failures: 0, timer: undefined },
    }));
    this.#sockets = new Sockets<Child>({
      standIn: (slot) => this.#serving().find((child) => child.slot !== slot),
      lend: (child, address, handle) => child.tell({ type: 'lend', address }, handle ?? undefined),
    });
  }

  /** Resolves when all processes are ready. */
  start(): Promise<void> {
    for (const slot of this.#slots) slot.current = this.#fork(slot);
    return this.#allReady.promise;
  }

  /** One is enough to serve. */
  get ready(): boolean {
    return this.#closed === undefined && this.#serving().length > 0;
  }

  get counts(): { tenants: number; refused: number } {
    const counts = this.#slots.map((slot) => slot.current?.counts ?? { tenants: 0, refused: 0 });
    return {
      tenants: Math.max(...counts.map((c) => c.tenants)),
      refused: Math.max(...counts.map((c) => c.refused)),
    };
  }

  problems(): string[] {
    const missing = this.#slots.length - this.#serving().length;
    return [
      ...(missing > 0 ? [`${missing} of ${this.#slots.length} processes do not serve`] : []),
      ...new Set(this.#serving().flatMap((child) => child.problems)),
    ];
  }

  /** Each process's own, told apart by labels. */
  gauges(): Gauge[] {
    const byName = new Map<string, Omit<Gauge, 'value'> & { value: Record<string, number> }>();
    const add = (child: Child, label: string) => {
      for (const { value, ...gauge } of child.gauges) {
        const all = byName.get(gauge.name) ?? { ...gauge, value: {} };
        byName.set(gauge.name, all);
        const mine = typeof value === 'number' ? { '': value } : value;
        for (const [labels, v] of Object.entries(mine)) all.value[`${label}${labels && ','}${labels}`] = v;
      }
    };
    for (const { index, current } of this.#slots) if (current) add(current, `process="${index}"`);
    for (const child of this.#leaving) add(child, `process="${child.slot}",leaving="${child.pid}"`);
    return [...byName.values()];
  }

  /**
   * Replaces all processes, one after another: a successor serves before its predecessor takes no connection more.
   * Ends early when a successor does not do as well; then its predecessor, and those that were not reached, serve on.
   * Called meanwhile it begins anew when it is through. Never fails.
   */
  restart(): Promise<void> {
    this.#restartAgain = this.#restarting !== undefined;
    this.#restarting ??= this.#restartAll().finally(() => {
      this.#restarting = undefined;
    });
    return this.#restarting;
  }

  close({ now = false }: { now?: boolean } = {}): Promise<void> {
    if (this.#closed && now) for (const child of this.#all()) child.tell({ type: 'stop', now, handover: false });
    this.#closed ??= this.#close(now);
    return this.#closed;
  }

  async #close(now: boolean): Promise<void> {
    for (const { timer } of this.#slots) clearTimeout(timer);
    this.#sockets.close();
    await Promise.all([...this.#all()].map((child) => this.#stop(child, { now, handover: false })));
  }

  #stop(child: Child, how: { now: boolean; handover: boolean }): Promise<void> {
    return child.stop(how, (how.now ? 0 : this.#options.env.ARCUS_DRAIN_SECONDS * 1000) + PATIENCE_MS);
  }

  *#all(): Iterable<Child> {
    for (const { current, next } of this.#slots) {
      if (current) yield current;
      if (next) yield next;
    }
    yield* this.#leaving;
  }

  /** Those that take new connections. */
  #serving(): Child[] {
    return this.#slots.flatMap(({ current }) => (current?.ready && !current.leaving ? current : []));
  }

  // ── life and death ─────────────────────────────────────────────────────────────────────────────────────────────

  #fork(slot: Slot): Child {
    const { id, log, program = PROGRAM } = this.#options;
    const child = new Child({
      ...{ slot: slot.index, id, program },
      hear: (from, message) => this.#hear(from, message),
      failed: (of, err) => log.error({ err, process: of.slot }, 'a process of the worker cannot be talked to'),
      exited: (of, code, signal) => this.#exited(of, code, signal),
    });
    this.#clients.add(child);
    log.info({ process: slot.index, pid: child.pid }, 'a process of the worker started');
    return child;
  }

  #exited(child: Child, code: number | null, signal: NodeJS.Signals | null): void {
    const { log } = this.#options;
    const slot = this.#slots[child.slot]!;
    const wasCurrent = slot.current === child;
    if (wasCurrent) slot.current = null;
    this.#sockets.gone(child);
    this.#clients.remove(child);
    this.#forget(child);
    const lived = Math.round(performance.now() - child.startedAt);
    const facts = { process: child.slot, pid: child.pid, code, signal, lived_ms: lived };
    if (this.#leaving.delete(child)) log.info(facts, 'a process of the worker has ended, as it was told');
    if (this.#closed !== undefined) return;
    if (slot.next === child) {
      slot.next = null;
      log.error(facts, 'a process of the worker died before it served');
    }
    if (!wasCurrent) {
      if (slot.current === null && slot.next === null && slot.timer === undefined) this.#forkLater(slot, 0);
      return;
    }
    slot.failures = lived >= SETTLED_MS ? 0 : slot.failures + 1;
    const pause = slot.failures <= 1 ? 0 : backoff(slot.failures - 2, 250, 10_000);
    log.error({ ...facts, restart_in_ms: Math.round(pause) }, 'a process of the worker died and is replaced');
    // Its successor is on the way already.
    if (slot.next) return;
    this.#forkLater(slot, pause);
  }

  #forkLater(slot: Slot, pause: number): void {
    slot.timer = setTimeout(() => {
      slot.timer = undefined;
      slot.current = this.#fork(slot);
    }, pause);
  }

  async #restartAll(): Promise<void> {
    const { log } = this.#options;
    do {
      this.#restartAgain = false;
      log.info('the processes of the worker are replaced, one after another');
      // Those of the last time: of each process at most one may linger on.
      await Promise.all([...this.#leaving].map((child) => child.gone.promise));
      for (const slot of this.#slots) {
        if (this.#closed === undefined && !(await this.#replace(slot))) return;
      }
      if (this.#closed === undefined) log.info('all processes of the worker are replaced');
    } while (this.#restartAgain && this.#closed === undefined);
  }

  /** False when its successor is no good. */
  async #replace(slot: Slot): Promise<boolean> {
    const { log } = this.#options;
    const old = slot.current;
    // It is being started anyway.
    if (!old?.ready) return true;
    await old.hold();
    if (this.#closed !== undefined || slot.current !== old) return true;

    const next = this.#fork(slot);
    slot.next = next;
    await next.started.promise;
    const lost = next.ready ? await this.#lost(old, next) : [];
    if (this.#closed !== undefined) return true;
    if (next.ready && lost.length === 0) {
      slot.next = null;
      slot.current = next;
      slot.failures = 0;
      this.#sockets.settle(slot.index);
      for (const tenant of new Set([...old.statuses.keys(), ...next.statuses.keys()])) this.#report(tenant);
      if (old.alive) {
        this.#leaving.add(old);
        this.#sockets.leave(old);
        void this.#stop(old, { now: false, handover: true });
      }
      return true;
    }
    const facts = { process: slot.index, tenants: lost.slice(0, 10) };
    if (next.ready) log.error(facts, 'a new process does not serve all that the old one serves: it is not kept');
    next.kill();
    // Until then it may still write.
    await next.gone.promise;
    old.tell({ type: 'resume' });
    log.error({ process: slot.index }, 'the restart ends here; the processes that are left serve on');
    return false;
  }

  /** Tenants that `next` does not serve as new as `old` does, when some time has not mended that. */
  async #lost(old: Child, next: Child): Promise<string[]> {
    // Not by the clock: when this process stood still, what its successor has said meanwhile is not heard yet.
    for (let looks = 0; ; looks++, await wait(LOOK_MS)) {
      const lost = [...old.statuses].filter(([tenant, { applied }]) => {
        return applied > (next.statuses.get(tenant)?.applied ?? 0);
      });
      if (lost.length === 0 || !next.alive || this.#closed !== undefined) return [];
      if (looks >= CATCH_UP_LOOKS) return lost.map(([tenant]) => tenant);
    }
  }

  // ── what they say ──────────────────────────────────────────────────────────────────────────────────────────────

  #hear(child: Child, message: FromProcess): void {
    switch (message.type) {
      case 'open':
        this.#sockets.open(message.listen, child.slot, child).then(
          (handle) => child.tell({ type: 'opened', id: message.id }, handle),
          ({ code }) => child.tell({ type: 'opened', id: message.id, code }),
        );
        break;
      case 'release':
        this.#sockets.release(message.address, child);
        break;
      case 'held':
        child.held();
        break;
      case 'clients':
        this.#clients.hear(child, message.changes);
        break;
      case 'takes':
        for (const other of this.#all()) if (other !== child) other.tell(message);
        break;
      case 'heard':
        this.#options.onHeard();
        break;
      case 'ready':
        this.#ready(child);
        break;
      case 'statuses':
        for (const [tenant, status] of message.statuses) {
          if (status) child.statuses.set(tenant, status);
          else child.statuses.delete(tenant);
          this.#report(tenant);
        }
        break;
      case 'numbers':
        for (const counters of message.counters) this.#count(child, counters);
        child.counts = message.counts;
        child.problems = message.problems;
        child.gauges = message.gauges;
        break;
    }
  }

  #ready(child: Child): void {
    child.ready = true;
    child.started.open();
    if (this.#slots[child.slot]!.current !== child) return;
    this.#sockets.settle(child.slot);
    if (this.#serving().length === this.#slots.length) this.#allReady.open();
    for (const tenant of new Set(this.#serving().flatMap((each) => [...each.statuses.keys()]))) this.#report(tenant);
  }

  #count(child: Child, counters: CounterValues): void {
    const [tenant, dimension, name, values] = counters;
    const key = `${dimension}\0${tenant}\0${name}`;
    addCounters(this.stats.of(tenant, dimension, name), values, child.counters.get(key)?.[3]);
    child.counters.set(key, counters);
  }

  /** What it counted stays counted; what it had open and what it said are gone with it. */
  #forget(child: Child): void {
    for (const [tenant, dimension, name, values] of child.counters.values()) {
      this.stats.of(tenant, dimension, name).active -= values[6]!;
    }
    child.counters.clear();
    const tenants = [...child.statuses.keys()];
    child.statuses.clear();
    for (const tenant of tenants) this.#report(tenant);
  }

  #report(tenant: string): void {
    // Who is still loading says nothing yet.
    const serving = this.#serving();
    if (serving.length === 0) return;
    const status = sumOf(serving.map((child) => child.statuses.get(tenant)));
    this.#options.report(tenant, status);
    if (status !== null) return;
    this.stats.forget(tenant);
    for (const { counters } of this.#all()) {
      for (const [key, [of]] of counters) if (of === tenant) counters.delete(key);
    }
  }
}

/** What all processes together run of a tenant: the oldest version of any, and the newest refusal. */
export function sumOf(statuses: readonly (TenantStatus | undefined)[]): TenantStatus | null {
  if (statuses.every((status) => status === undefined)) return null;
  const applied = Math.min(...statuses.map((status) => status?.applied ?? 0));
  const [refused] = statuses
    .flatMap((status) => status?.refused ?? [])
    .sort((a, b) => b.version - a.version || b.issues.length - a.issues.length);
  return refused ? { applied, refused } : { applied };
}
