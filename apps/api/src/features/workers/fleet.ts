/**
 * The workers there are: those that are alive by the store, and those that were and did not say goodbye. A worker is
 * lost as soon as its lease is over (8 s after its last sign of life), and stays so until it comes back, is forgotten
 * by hand, or was gone for a day: a release that it did not answer for is not everywhere.
 */
import { WorkerRecord } from '@arcus/control/release.ts';
import { type ConfigStore, StoreUnavailable } from '@arcus/control/store.ts';
import { sameJson } from '@arcus/gateway/canonical.ts';
import type { FastifyBaseLogger } from 'fastify';
import { type Db, isAway, isPrismaError, type Prisma } from '../../db/open.ts';

export interface KnownWorker {
  /** What it last said of itself. */
  readonly record: WorkerRecord;
  readonly alive: boolean;
  /** ms since the epoch; of one that is alive: now. */
  readonly first_seen_at: number;
  readonly last_seen_at: number;
}

export interface FleetDeps {
  readonly db: Db;
  readonly store: ConfigStore;
  /** ms since the epoch. */
  readonly now: () => number;
  readonly log: FastifyBaseLogger;
}

interface Seen {
  record: WorkerRecord;
  first_seen_at: number;
  last_seen_at: number;
  /** What the database has: 0 is nothing. */
  saved_at: number;
}

/** Lost workers are forgotten after this, ms. */
export const FORGET_MS = 24 * 3600 * 1000;
/** Two looks at the store while nobody asks, ms: shorter than a worker that left is shown to have left. */
const EVERY_MS = 2_000;
/** Workers of other processes' memory are read again after this, ms. */
const FRESH_MS = 2_000;
/** A worker that goes on living is written down this often, ms. */
const SAVE_MS = 60_000;

export class Fleet {
  readonly #deps: FleetDeps;
  readonly #seen = new Map<string, Seen>();
  #readAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(deps: FleetDeps) {
    this.#deps = deps;
  }

  /** Looks at the store from now on, so that a worker is known before it is lost. */
  start(everyMs = EVERY_MS): void {
    if (this.#closed) return;
    this.#running = this.workers()
      .catch((error) => {
        const away = error instanceof StoreUnavailable || isAway(error);
        this.#deps.log[away ? 'debug' : 'error']({ err: error }, 'workers could not be looked at');
      })
      .finally(() => {
        if (this.#closed) return;
        this.#timer = setTimeout(() => this.start(everyMs), everyMs);
        this.#timer.unref();
      });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  /** All of them, by id. Throws StoreUnavailable: who is alive is not known then. */
  async workers(): Promise<KnownWorker[]> {
    const records = await this.#deps.store.listWorkers();
    await this.#read();
    const now = this.#deps.now();
    const alive = new Set<string>();
    for (const record of records) {
      if (record.left) await this.#drop(record.id);
      else {
        alive.add(record.id);
        await this.#meet(record, now);
      }
    }
    return [...this.#seen]
      .map(([id, { record, first_seen_at, last_seen_at }]) => ({
        ...{ record, alive: alive.has(id), first_seen_at, last_seen_at },
      }))
      .filter((worker) => worker.alive || worker.last_seen_at > now - FORGET_MS)
      .sort((a, b) => (a.record.id < b.record.id ? -1 : 1));
  }

  /** Forgets a worker that is gone for good; answers what is known of it: null for one that nobody knows. */
  async forget(id: string): Promise<KnownWorker | null> {
    const worker = (await this.workers()).find(({ record }) => record.id === id) ?? null;
    if (worker && !worker.alive) await this.#drop(id);
    return worker;
  }

  /** Forgets those that were gone for a day. */
  async expire(): Promise<void> {
    const before = this.#deps.now() - FORGET_MS;
    await this.#deps.db.client.seenWorker.deleteMany({ where: { last_seen_at: { lt: new Date(before) } } });
    for (const [id, seen] of this.#seen) if (seen.last_seen_at < before) this.#seen.delete(id);
  }

  /** What other processes met and forgot. */
  async #read(): Promise<void> {
    if (performance.now() - this.#readAt < FRESH_MS) return;
    const rows = await this.#deps.db.client.seenWorker.findMany();
    this.#readAt = performance.now();
    const known = new Set<string>();
    for (const row of rows) {
      known.add(row.id);
      const saved_at = row.last_seen_at.getTime();
      const mine = this.#seen.get(row.id);
      if (mine && mine.last_seen_at >= saved_at) {
        mine.saved_at = saved_at;
        continue;
      }
      const record = WorkerRecord.safeParse(row.record);
      if (!record.success) continue;
      const first_seen_at = row.first_seen_at.getTime();
      this.#seen.set(row.id, { record: record.data, first_seen_at, last_seen_at: saved_at, saved_at });
    }
    for (const id of [...this.#seen.keys()]) if (!known.has(id)) this.#seen.delete(id);
  }

  async #meet(record: WorkerRecord, now: number): Promise<void> {
    const before = this.#seen.get(record.id);
    const seen: Seen = before ?? { record, first_seen_at: now, last_seen_at: now, saved_at: 0 };
    const known = sameJson(facts(seen.record), facts(record));
    seen.record = record;
    seen.last_seen_at = Math.max(now, seen.last_seen_at);
    this.#seen.set(record.id, seen);
    if (known && now - seen.saved_at < SAVE_MS) return;
    seen.saved_at = now;
    const { id } = record;
    const data = { record: record as unknown as Prisma.InputJsonObject, last_seen_at: new Date(now) };
    const create = { id, ...data, first_seen_at: new Date(seen.first_seen_at) };
    try {
      await this.#deps.db.client.seenWorker.upsert({ where: { id }, create, update: data });
    } catch (error) {
      // Another process met it at the same moment.
      if (!isPrismaError(error, 'P2002')) throw error;
    }
  }

  async #drop(id: string): Promise<void> {
    if (!this.#seen.has(id)) return;
    await this.#deps.db.client.seenWorker.deleteMany({ where: { id } });
    this.#seen.delete(id);
  }
}

/** What does not change while a worker simply goes on. */
function facts({ reported_at: _, store_seen_at: _1, tenants: _2, refused: _3, ...rest }: WorkerRecord): unknown {
  return rest;
}
