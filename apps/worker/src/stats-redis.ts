/**
 * Counters go to Redis once a second. Requests never wait for it: the counters themselves are the queue, so an outage
 * costs no memory and loses no count.
 *
 * Keys, below a prefix:
 *   metrics:tenant:<tenant>:<worker>     hash `<dimension>:<name>:<counter>` -> value since this worker started; 300 s
 *   metrics:tenant:<tenant>:requests     hash total, success, blocked, errors, bytes_in, bytes_out of all workers; 30 days
 *   connections:active:<tenant>          hash worker -> open connections; 60 s
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { Counters, Stats } from '@arcus/gateway/stats.ts';
import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { changedCounters, fieldNames, readCounters } from './counter-values.ts';

const totals = ['requests', 'blocked', 'errors', 'bytes_in', 'bytes_out'] as const;
/** Counters looked at before the event loop has its turn. */
const SLICE = 2_000;
/** Tenants in one transaction: Redis is not held up by a long one. */
const CHUNK = 100;
const METRICS_SECONDS = 300;
const TOTALS_SECONDS = 30 * 24 * 3600;
const ACTIVE_SECONDS = 60;
const REFRESH_MS = 20_000;
const ANSWER_MS = 2_000;

/** What Redis has confirmed of one Counters object. */
interface Known {
  values: Float64Array;
  /** Written under this epoch; an older one means that Redis may have lost it. */
  epoch: number;
}

interface Change {
  counters: Counters;
  values: Float64Array;
}

interface TenantChange {
  tenant: string;
  fields: (string | number)[];
  totals: Map<string, number>;
  active: number | null;
  changes: Change[];
}

export interface RedisStatsOptions {
  readonly url: string;
  readonly worker: string;
  readonly stats: Stats;
  readonly log: Logger;
  readonly prefix?: string;
  readonly intervalMs?: number;
  /** ms, never set back; default performance.now. */
  readonly clock?: () => number;
}

export class RedisStats {
  readonly #options: RedisStatsOptions;
  readonly #prefix: string;
  readonly #redis: Redis;
  readonly #timer: NodeJS.Timeout;
  readonly #clock: () => number;
  readonly #known = new WeakMap<Counters, Known>();
  /** Tenant -> when its keys were last given a new life. */
  readonly #refreshed = new Map<string, number>();
  /** Tenants whose values this process has written: what was there before is another process's. */
  readonly #begun = new Set<string>();
  #epoch = 1;
  #flushing: Promise<void> | null = null;
  #down = false;
  /** Sent, and then the connection broke: Redis may have taken it. */
  #uncertain: { chunk: TenantChange[]; epoch: number } | null = null;
  /** Flushes that Redis did not confirm, since start. */
  failures = 0;

  constructor(options: RedisStatsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
    this.#prefix = options.prefix ?? 'arcus:';
    this.#redis = new Redis(options.url, {
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      connectTimeout: ANSWER_MS,
      commandTimeout: ANSWER_MS,
      retryStrategy: (times) => Math.min(100 * 2 ** Math.min(times, 10), 2_000),
      connectionName: 'arcus-worker',
    });
    // What it has to say arrives with the flush that fails; a Redis that comes back may have come back empty.
    this.#redis.on('error', () => {});
    this.#redis.on('ready', () => this.#epoch++);
    this.#timer = setInterval(() => void this.flush(), options.intervalMs ?? 1_000);
    this.#timer.unref();
  }

  /** Did Redis take the last flush? */
  get healthy(): boolean {
    return !this.#down;
  }

  /** Sends what changed since the last flush that was confirmed. Never fails: the next one sends it instead. */
  flush(): Promise<void> {
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = null;
    });
    return this.#flushing;
  }

  /** Sends the last counts, if Redis takes them within two seconds. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#flushing;
    if (this.#redis.status === 'ready') await this.flush();
    this.#redis.disconnect();
  }

  async #flush(): Promise<void> {
    try {
      if (this.#redis.status !== 'ready') throw new Error(`Redis is not connected (${this.#redis.status})`);
      await this.#settle();
      const gone = this.#clock() - METRICS_SECONDS * 1000;
      for (const [tenant, at] of this.#refreshed) if (at < gone) this.#refreshed.delete(tenant);
      const changes = await this.#collect();
      for (let i = 0; i < changes.length; i += CHUNK) await this.#send(changes.slice(i, i + CHUNK));
      if (this.#down) this.#options.log.info('Redis takes statistics again');
      this.#down = false;
    } catch (error) {
      this.failures++;
      if (!this.#down) this.#options.log.warn({ err: error }, 'Redis takes no statistics; they are kept until it does');
      this.#down = true;
      // Answers to what was sent may never come: begin with a fresh connection.
      if (this.#redis.status === 'ready') this.#redis.disconnect(true);
    }
  }

  /**
   * Was the chunk taken whose answer never came? Totals and the tenant's own values are written in one transaction, so
   * these values tell, and no total is added twice.
   */
  async #settle(): Promise<void> {
    if (this.#uncertain === null) return;
    const { chunk, epoch } = this.#uncertain;
    for (const { tenant, changes } of chunk) {
      const own = changes.find((c) => c.counters.dimension === 'tenant');
      if (!own) continue;
      const fields = totals.map((total) => `tenant:${own.counters.name}:${total}`);
      const found = await this.#redis.hmget(this.#key(tenant), ...fields);
      const taken = totals.every((t, i) => Number(found[i] ?? 0) === own.values[fieldNames.indexOf(t)]);
      if (taken && found.some((value) => value !== null)) {
        this.#begun.add(tenant);
        for (const c of changes) this.#known.set(c.counters, { values: c.values, epoch });
      }
    }
    this.#uncertain = null;
  }

  #key(tenant: string): string {
    return `${this.#prefix}metrics:tenant:${tenant}:${this.#options.worker}`;
  }

  async #collect(): Promise<TenantChange[]> {
    const byTenant = new Map<string, TenantChange>();
    const now = this.#clock();
    let seen = 0;
    for (const counters of this.#options.stats.values()) {
      if (++seen % SLICE === 0) await turn();
      const known = this.#known.get(counters);
      const all = known?.epoch !== this.#epoch;
      const changed = changedCounters(counters, known?.values);
      const isTenant = counters.dimension === 'tenant';
      const due = isTenant && now - (this.#refreshed.get(counters.tenant) ?? Number.NEGATIVE_INFINITY) >= REFRESH_MS;
      if (!changed && !(known && (all || due))) continue;
      const values = changed ?? readCounters(counters);

      let change = byTenant.get(counters.tenant);
      if (!change) {
        change = { tenant: counters.tenant, fields: [], totals: new Map(), active: null, changes: [] };
        byTenant.set(counters.tenant, change);
      }
      const name = `${counters.dimension}:${counters.name}:`;
      for (let i = 0; i < values.length; i++) {
        if (all ? values[i] !== 0 : values[i] !== known.values[i]) change.fields.push(name + fieldNames[i], values[i]!);
      }
      if (isTenant) {
        change.active = counters.active;
        for (const total of totals) {
          const delta = counters[total] - (known?.values[fieldNames.indexOf(total)] ?? 0);
          if (delta !== 0) change.totals.set(total, delta);
        }
      }
      change.changes.push({ counters, values });
    }
    return [...byTenant.values()];
  }

  /** All or nothing per chunk, so that a total is added once. */
  async #send(chunk: TenantChange[]): Promise<void> {
    const epoch = this.#epoch;
    const { worker } = this.#options;
    const multi = this.#redis.multi();
    const probes: { tenant: string; at: number }[] = [];
    let n = 0;
    for (const { tenant, fields, totals, active } of chunk) {
      const key = this.#key(tenant);
      // Answers 0 when the key is gone although we wrote it: Redis was emptied.
      probes.push({ tenant, at: n++ });
      multi.expire(key, METRICS_SECONDS);
      if (!this.#begun.has(tenant)) {
        multi.del(key);
        n++;
      }
      if (fields.length > 0) {
        multi.hset(key, ...fields).expire(key, METRICS_SECONDS);
        n += 2;
      }
      if (totals.size > 0) {
        const sums = `${this.#prefix}metrics:tenant:${tenant}:requests`;
        const of = (name: string) => totals.get(name) ?? 0;
        const add = (field: string, delta: number) => {
          if (delta === 0) return;
          multi.hincrby(sums, field, delta);
          n++;
        };
        add('total', of('requests'));
        add('success', Math.max(0, of('requests') - of('blocked') - of('errors')));
        for (const name of ['blocked', 'errors', 'bytes_in', 'bytes_out']) add(name, of(name));
        multi.expire(sums, TOTALS_SECONDS);
        n++;
      }
      if (active !== null) {
        const open = `${this.#prefix}connections:active:${tenant}`;
        multi.hset(open, worker, active).expire(open, ACTIVE_SECONDS);
        n += 2;
      }
    }
    this.#uncertain = { chunk, epoch };
    const answers = await multi.exec();
    this.#uncertain = null;
    if (answers === null) throw new Error('Redis discarded the transaction');
    for (const [error] of answers) if (error) throw error;
    const now = this.#clock();
    for (const { tenant, at } of probes) {
      if (answers[at]?.[1] === 0 && this.#refreshed.has(tenant)) this.#epoch++;
      this.#refreshed.set(tenant, now);
      this.#begun.add(tenant);
    }
    for (const { changes } of chunk) for (const c of changes) this.#known.set(c.counters, { values: c.values, epoch });
  }
}
