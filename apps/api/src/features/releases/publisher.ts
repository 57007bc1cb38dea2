/** Brings releases from the database to the config store: at once after the commit, and again until it succeeds. */
import { publishRelease } from '@arcus/control/publish.ts';
import { Manifest } from '@arcus/control/release.ts';
import { type ConfigStore, HeadConflict, StoreUnavailable } from '@arcus/control/store.ts';
import type { FastifyBaseLogger } from 'fastify';
import type { Db } from '../../db/open.ts';

export interface PublisherDeps {
  readonly db: Db;
  readonly store: ConfigStore;
  readonly now: () => number;
  readonly log: FastifyBaseLogger;
}

/** A release that was just committed: what is in memory need not be read again. */
export interface Fresh {
  manifest: Manifest;
  blobs: ReadonlyMap<string, Uint8Array>;
}

interface Slot {
  running: Promise<boolean>;
  /** The run after the one that runs: everybody who came meanwhile shares it. */
  next: Promise<boolean> | null;
  fresh: Fresh | null;
}

/** A tenant that cannot be published is tried again after this many ms, doubled each time. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 30_000;
/** Tenants that the reconciler works on at the same time. */
const PARALLEL = 8;

export class Publisher {
  readonly #deps: PublisherDeps;
  readonly #slots = new Map<string, Slot>();
  /** When to try a tenant again that failed. */
  readonly #failed = new Map<string, { pause: number; at: number }>();
  /** The newest version of each tenant below which this process left none pending. */
  readonly #out = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #sweep: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(deps: PublisherDeps) {
    this.#deps = deps;
  }

  /**
   * Publishes the tenant's newest release; older ones that wait are passed over. Calls meanwhile share the next run.
   * Answers whether everything that was committed before the call is live, or will be superseded by what is: false
   * means that it stays pending, and the reconciler goes on with it.
   */
  publish(tenant_id: string, fresh: Fresh | null = null): Promise<boolean> {
    const slot = this.#slots.get(tenant_id);
    if (!slot) {
      const made: Slot = { running: Promise.resolve(false), next: null, fresh };
      this.#slots.set(tenant_id, made);
      made.running = this.#run(tenant_id, made);
      return made.running;
    }
    if (fresh && (!slot.fresh || slot.fresh.manifest.version < fresh.manifest.version)) {
      slot.fresh = { manifest: fresh.manifest, blobs: new Map([...(slot.fresh?.blobs ?? []), ...fresh.blobs]) };
    }
    slot.next ??= slot.running.then(() => {
      slot.next = null;
      slot.running = this.#run(tenant_id, slot);
      return slot.running;
    });
    return slot.next;
  }

  /** Starts the reconciler: now, and then about every `everyMs`, spread so that processes don't march in step. */
  start(everyMs = 1000): void {
    const turn = async () => {
      await this.#reconcile();
      if (this.#closed) return;
      this.#timer = setTimeout(() => this.#again(turn), everyMs * (0.75 + Math.random() / 2));
      this.#timer.unref();
    };
    this.#again(turn);
  }

  #again(turn: () => Promise<void>): void {
    this.#sweep = turn().catch((error) => this.#deps.log.error({ err: error }, 'reconciler failed'));
  }

  /** Finishes what runs; what is pending stays so. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#sweep;
    clearTimeout(this.#timer);
    await Promise.allSettled([...this.#slots.values()].flatMap((slot) => [slot.running, slot.next]));
  }

  async #run(tenant_id: string, slot: Slot): Promise<boolean> {
    const fresh = slot.fresh;
    slot.fresh = null;
    try {
      await this.#bring(tenant_id, fresh);
      this.#failed.delete(tenant_id);
      return true;
    } catch (error) {
      const away = error instanceof StoreUnavailable;
      const pause = Math.min(LONGEST_PAUSE, (this.#failed.get(tenant_id)?.pause ?? FIRST_PAUSE / 2) * 2);
      // While the store is away each turn of the reconciler asks it first: no tenant must wait long once it is back.
      this.#failed.set(tenant_id, { pause: away ? FIRST_PAUSE : pause, at: this.#deps.now() + (away ? 0 : pause) });
      this.#deps.log[away ? 'warn' : 'error'](
        { tenant: tenant_id, reason: String((error as Error).message) },
        'release stays pending',
      );
      return false;
    } finally {
      if (slot.next === null) this.#slots.delete(tenant_id);
    }
  }

  async #bring(tenant_id: string, fresh: Fresh | null): Promise<void> {
    const { db, store, now } = this.#deps;
    const manifest = fresh?.manifest ?? (await this.#newest(tenant_id));
    if (!manifest) return;
    await publishRelease(store, manifest, async (names) => {
      const bodies = new Map<string, Uint8Array>();
      const wanted: string[] = [];
      for (const name of names) {
        const body = fresh?.blobs.get(name);
        if (body) bodies.set(name, body);
        else wanted.push(name);
      }
      for (const row of await db.client.blob.findMany({ where: { sha256: { in: wanted } } })) {
        bodies.set(row.sha256, row.body);
      }
      return bodies;
    });
    const marked = await db.client.release.updateMany({
      where: { tenant_id, version: manifest.version, state: 'pending' },
      data: { state: 'published', published_at: new Date(now()) },
    });
    if (
      marked.count === 0 &&
      !(await db.client.tenant.findUnique({ where: { tenant_id }, select: { version: true } }))
    ) {
      // Deleted while it was on its way: the head that was just put must go again.
      await db.client.deletedTenant.updateMany({ where: { tenant_id }, data: { head_removed: false } });
      this.#out.delete(tenant_id);
      return;
    }
    // The one before is out: nothing can wait behind it.
    if (fresh && this.#out.get(tenant_id) === manifest.version - 1) {
      this.#out.set(tenant_id, manifest.version);
      return;
    }
    await db.client.release.updateMany({
      where: { tenant_id, version: { lt: manifest.version }, state: 'pending' },
      data: { state: 'superseded' },
    });
    this.#out.set(tenant_id, manifest.version);
  }

  async #newest(tenant_id: string): Promise<Manifest | null> {
    const row = await this.#deps.db.client.release.findFirst({
      where: { tenant_id },
      orderBy: { version: 'desc' },
      select: { manifest: true },
    });
    return row && Manifest.parse(JSON.parse(row.manifest));
  }

  /** Finishes what a crash or a store outage left behind. */
  async #reconcile(): Promise<void> {
    const { db, store, now, log } = this.#deps;
    const due = ({ tenant_id }: { tenant_id: string }) =>
      !this.#slots.has(tenant_id) && (this.#failed.get(tenant_id)?.at ?? 0) <= now();
    let pending: string[];
    let deleted: { tenant_id: string; version: number }[];
    try {
      const rows = await db.client.release.findMany({
        where: { state: 'pending' },
        distinct: ['tenant_id'],
        select: { tenant_id: true },
        take: 10_000,
      });
      pending = rows.filter(due).map((row) => row.tenant_id);
      deleted = (await db.client.deletedTenant.findMany({ where: { head_removed: false }, take: 10_000 })).filter(due);
      if (pending.length + deleted.length === 0) return;
      await store.ping();
    } catch (error) {
      log.debug({ reason: String((error as Error).message) }, 'reconciler waits');
      return;
    }
    const queue = [
      ...pending.map((tenant_id) => () => this.publish(tenant_id)),
      ...deleted.map(
        ({ tenant_id }) =>
          () =>
            this.removeHead(tenant_id),
      ),
    ].values();
    const work = async () => {
      for (const task of queue) if (!this.#closed) await task();
    };
    await Promise.all(Array.from({ length: PARALLEL }, work));
  }

  /**
   * Takes a deleted tenant's head out of the store, so that workers drop it. Answers whether it is out; the reconciler
   * tries again. A tenant that was made again in the meantime keeps its head.
   */
  async removeHead(tenant_id: string): Promise<boolean> {
    const { db, store, log } = this.#deps;
    // A release that is on its way right now would put the head back.
    for (let slot = this.#slots.get(tenant_id); slot; slot = this.#slots.get(tenant_id)) await slot.running;
    try {
      const row = await db.client.deletedTenant.findUnique({ where: { tenant_id } });
      if (!row || row.head_removed) return true;
      const now = await store.getHead(tenant_id);
      if (now && now.head.stable.version <= row.version) await store.deleteHead(tenant_id, now.revision);
      await db.client.deletedTenant.updateMany({ where: { tenant_id }, data: { head_removed: true } });
      return true;
    } catch (error) {
      if (error instanceof HeadConflict) return false;
      log.warn({ tenant: tenant_id, reason: String((error as Error).message) }, 'head of a deleted tenant stays');
      return false;
    }
  }
}
