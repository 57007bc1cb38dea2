/**
 * The processes of one worker. Each serves all tenants on the same addresses; together they are one: a release counts
 * as applied when all have applied it, and as refused when one has refused it; their statistics add up. One that dies
 * is replaced at once, unless it does so again and again.
 */
import { type ChildProcess, fork } from 'node:child_process';
import type { TenantStatus } from '@arcus/control/release.ts';
import { Stats } from '@arcus/gateway/stats.ts';
import type { Logger } from 'pino';
import { Claims } from './claims.ts';
import { addCounters } from './counter-values.ts';
import type { Plane } from './data-plane.ts';
import type { WorkerEnv } from './env.ts';
import { backoff, latch } from './lanes.ts';
import type { Gauge } from './metrics.ts';
import type { CounterValues, FromProcess, ToProcess } from './process-messages.ts';

/** A process that lived this long did not die of its start. */
const SETTLED_MS = 10_000;

interface Member {
  readonly index: number;
  child: ChildProcess | null;
  ready: boolean;
  startedAt: number;
  /** Deaths soon after a start, in a row. */
  failures: number;
  timer: NodeJS.Timeout | undefined;
  readonly statuses: Map<string, TenantStatus>;
  readonly counters: Map<string, CounterValues>;
  counts: { readonly tenants: number; readonly refused: number };
  problems: readonly string[];
  gauges: readonly Gauge[];
}

export interface ProcessGroupOptions {
  readonly env: WorkerEnv;
  readonly id: string;
  readonly processes: number;
  readonly log: Logger;
  readonly report: (tenant: string, status: TenantStatus | null) => void;
  readonly onHeard: () => void;
}

export class ProcessGroup implements Plane {
  readonly stats = new Stats();
  readonly #options: ProcessGroupOptions;
  readonly #members: Member[];
  readonly #allReady = latch();
  readonly #claims = new Claims<Member>();
  #closed: Promise<void> | undefined;

  constructor(options: ProcessGroupOptions) {
    this.#options = options;
    this.#members = Array.from({ length: options.processes }, (_, index) => ({
      ...{ index, child: null, ready: false, startedAt: 0, failures: 0, timer: undefined },
      ...{ statuses: new Map(), counters: new Map() },
      ...{ counts: { tenants: 0, refused: 0 }, problems: [], gauges: [] },
    }));
  }

  /** Resolves when all processes are ready. */
  start(): Promise<void> {
    for (const member of this.#members) this.#fork(member);
    return this.#allReady.promise;
  }

  /** One is enough to serve. */
  get ready(): boolean {
    return this.#closed === undefined && this.#members.some((m) => m.ready);
  }

  get counts(): { tenants: number; refused: number } {
    return {
      tenants: Math.max(...this.#members.map((m) => m.counts.tenants)),
      refused: Math.max(...this.#members.map((m) => m.counts.refused)),
    };
  }

  problems(): string[] {
    const missing = this.#members.filter((m) => !m.ready).length;
    return [
      ...(missing > 0 ? [`${missing} of ${this.#members.length} processes do not serve`] : []),
      ...new Set(this.#members.flatMap((m) => m.problems)),
    ];
  }

  /** Each process's own, told apart by a label. */
  gauges(): Gauge[] {
    const byName = new Map<string, Omit<Gauge, 'value'> & { value: Record<string, number> }>();
    for (const member of this.#members) {
      for (const { value, ...gauge } of member.gauges) {
        const all = byName.get(gauge.name) ?? { ...gauge, value: {} };
        byName.set(gauge.name, all);
        const mine = typeof value === 'number' ? { '': value } : value;
        for (const [labels, v] of Object.entries(mine)) {
          all.value[`process="${member.index}"${labels && ','}${labels}`] = v;
        }
      }
    }
    return [...byName.values()];
  }

  close({ now = false }: { now?: boolean } = {}): Promise<void> {
    if (this.#closed && now) for (const member of this.#members) tell(member, { type: 'stop', now });
    this.#closed ??= Promise.all(this.#members.map((member) => this.#stop(member, now))).then(() => {});
    return this.#closed;
  }

  #stop(member: Member, now: boolean): Promise<void> {
    clearTimeout(member.timer);
    const { child } = member;
    if (child === null) return Promise.resolve();
    return new Promise((resolve) => {
      const patience = now ? 5_000 : this.#options.env.ARCUS_DRAIN_SECONDS * 1000 + 5_000;
      const kill = setTimeout(() => child.kill('SIGKILL'), patience);
      child.once('exit', () => {
        clearTimeout(kill);
        resolve();
      });
      tell(member, { type: 'stop', now });
    });
  }

  #fork(member: Member): void {
    const { id, log } = this.#options;
    const child = fork(new URL('./process.ts', import.meta.url), {
      env: { ...process.env, ARCUS_WORKER_ID: id, ARCUS_PROCESS: String(member.index) },
      serialization: 'advanced',
    });
    member.child = child;
    member.startedAt = Date.now();
    child.on('message', (message) => this.#hear(member, message as FromProcess));
    child.on('error', (err) =>
      log.error({ err, process: member.index }, 'a process of the worker cannot be talked to'),
    );
    child.once('spawn', () => log.info({ process: member.index, pid: child.pid }, 'a process of the worker started'));
    child.once('exit', (code, signal) => this.#died(member, code, signal));
  }

  #died(member: Member, code: number | null, signal: NodeJS.Signals | null): void {
    const { log } = this.#options;
    member.child = null;
    member.ready = false;
    this.#claims.releaseAll(member);
    this.#forget(member);
    if (this.#closed !== undefined) return;
    const lived = Date.now() - member.startedAt;
    member.failures = lived >= SETTLED_MS ? 0 : member.failures + 1;
    const pause = member.failures <= 1 ? 0 : backoff(member.failures - 2, 250, 10_000);
    const facts = { process: member.index, code, signal, lived_ms: lived, restart_in_ms: Math.round(pause) };
    log.error(facts, 'a process of the worker died and is replaced');
    member.timer = setTimeout(() => this.#fork(member), pause);
  }

  /** What it counted stays counted; what it had open and what it said are gone with it. */
  #forget(member: Member): void {
    for (const [tenant, dimension, name, values] of member.counters.values()) {
      this.stats.of(tenant, dimension, name).active -= values[6]!;
    }
    member.counters.clear();
    member.gauges = [];
    member.problems = [];
    member.counts = { tenants: 0, refused: 0 };
    const tenants = [...member.statuses.keys()];
    member.statuses.clear();
    for (const tenant of tenants) this.#report(tenant);
  }

  #hear(member: Member, message: FromProcess): void {
    switch (message.type) {
      case 'claim':
        void this.#claims.claim(message.address, member).then((ours) => {
          tell(member, { type: 'claimed', address: message.address, ours });
        });
        break;
      case 'unclaim':
        this.#claims.release(message.address, member);
        break;
      case 'heard':
        this.#options.onHeard();
        break;
      case 'ready':
        member.ready = true;
        if (this.#members.every((m) => m.ready)) this.#allReady.open();
        for (const tenant of new Set(this.#members.flatMap((m) => [...m.statuses.keys()]))) this.#report(tenant);
        break;
      case 'statuses':
        for (const [tenant, status] of message.statuses) {
          if (status) member.statuses.set(tenant, status);
          else member.statuses.delete(tenant);
          this.#report(tenant);
        }
        break;
      case 'numbers':
        for (const counters of message.counters) this.#count(member, counters);
        member.counts = message.counts;
        member.problems = message.problems;
        member.gauges = message.gauges;
        break;
    }
  }

  #count(member: Member, counters: CounterValues): void {
    const [tenant, dimension, name, values] = counters;
    const key = `${dimension}\0${tenant}\0${name}`;
    addCounters(this.stats.of(tenant, dimension, name), values, member.counters.get(key)?.[3]);
    member.counters.set(key, counters);
  }

  #report(tenant: string): void {
    // Who is still loading says nothing yet.
    const ready = this.#members.filter((m) => m.ready);
    if (ready.length === 0) return;
    const status = sumOf(ready.map((m) => m.statuses.get(tenant)));
    this.#options.report(tenant, status);
    if (status !== null) return;
    this.stats.forget(tenant);
    for (const { counters } of this.#members) {
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

function tell({ child }: Member, message: ToProcess): void {
  if (child?.connected) child.send(message, () => {});
}
