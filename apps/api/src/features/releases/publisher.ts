/** Brings releases from the database to the config store: at once after the commit, and again until it succeeds. */
import { fault } from '@arcus/control/faults.ts';
import { mendBlobs, moveHead, putRelease } from '@arcus/control/publish.ts';
import type { Head, HeadBody, Manifest } from '@arcus/control/release.ts';
import type { Signer, Verifier } from '@arcus/control/sign.ts';
import { type ConfigStore, type Revision, StoreUnavailable } from '@arcus/control/store.ts';
import type { FastifyBaseLogger } from 'fastify';
import type { Db } from '../../db/open.ts';
import { tombstoneOf, type WantedHead, wantedHead } from './head.ts';
import { Keeper } from './keeper.ts';
import { PublishedMarks } from './published.ts';

export interface PublisherDeps {
  readonly db: Db;
  readonly store: ConfigStore;
  /** Signs heads. */
  readonly signer: Signer;
  /** Says which heads in the store are ours. */
  readonly verifier: Verifier;
  readonly now: () => number;
  readonly log: FastifyBaseLogger;
}

/** A release that was just committed: what is in memory need not be read again. */
export interface Fresh {
  manifest: Manifest;
  /** That makes it the stable one. */
  head: HeadBody;
  blobs: ReadonlyMap<string, Uint8Array>;
}

interface Slot {
  running: Promise<boolean>;
  /** The run after the one that runs: everybody who came meanwhile shares it. */
  next: Promise<boolean> | null;
  fresh: Fresh | null;
  /** Somebody changed the head without a release: what is fresh may be older than the head that it makes. */
  read: boolean;
}

/** A tenant that cannot be published is tried again after this many ms, doubled each time. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 30_000;
/** Tenants that the reconciler works on at the same time. */
const PARALLEL = 8;

export class Publisher {
  readonly #deps: PublisherDeps;
  readonly #slots = new Map<string, Slot>();
  /** When to try a tenant again that failed, by the clock that is never set back. */
  readonly #failed = new Map<string, { pause: number; at: number }>();
  /** The newest version of each tenant below which this process left none pending. */
  readonly #out = new Map<string, number>();
  /** The revision of each tenant's head in the store, as this process left it. */
  readonly #heads = new Map<string, Revision>();
  readonly #keeper: Keeper;
  readonly #published: PublishedMarks;
  #timer: NodeJS.Timeout | undefined;
  #sweep: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(deps: PublisherDeps) {
    this.#deps = deps;
    this.#published = new PublishedMarks(deps);
    this.#keeper = new Keeper({ ...deps, key: deps.signer.key, publish: (tenant_id) => this.publish(tenant_id) });
  }

  /**
   * Publishes the tenant's head as it shall be, with the releases that it names, or that it is gone; older releases that
   * wait are passed over. Calls meanwhile share the next run.
   * Answers whether everything that was committed before the call is live, or will be superseded by what is: false
   * means that it stays pending, and the reconciler goes on with it.
   */
  publish(tenant_id: string, fresh: Fresh | null = null): Promise<boolean> {
    const slot = this.#slots.get(tenant_id);
    if (!slot) {
      const made: Slot = { running: Promise.resolve(false), next: null, fresh, read: fresh === null };
      this.#slots.set(tenant_id, made);
      made.running = this.#run(tenant_id, made);
      return made.running;
    }
    if (!fresh) slot.read = true;
    else if (!slot.fresh || slot.fresh.manifest.version < fresh.manifest.version) {
      slot.fresh = { ...fresh, blobs: new Map([...(slot.fresh?.blobs ?? []), ...fresh.blobs]) };
    }
    slot.next ??= slot.running.then(() => {
      slot.next = null;
      slot.running = this.#run(tenant_id, slot);
      return slot.running;
    });
    return slot.next;
  }

  /**
   * Holds the blobs of the releases that the tenant's head names against the store's, and writes those again that were
   * lost or altered. A store that is away is no failure: what is pending is brought there later.
   */
  async mend(tenant_id: string): Promise<void> {
    const { db, store, log } = this.#deps;
    try {
      const wanted = await wantedHead(db.client, tenant_id);
      for (const manifest of wanted?.manifests ?? []) {
        const blobs = await mendBlobs(store, manifest, (names) => this.#bodies(names, null));
        if (blobs > 0) log.warn({ tenant: tenant_id, blobs }, 'parts of a release were damaged in the store: mended');
      }
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
    }
  }

  /** Starts the keeper of the store's heads, and the reconciler: now, and then about every `everyMs`, spread so that processes don't march in step. */
  start(everyMs = 1000): void {
    this.#keeper.start();
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
    await this.#keeper.close();
    await this.#sweep;
    clearTimeout(this.#timer);
    await Promise.allSettled([...this.#slots.values()].flatMap((slot) => [slot.running, slot.next]));
  }

  async #run(tenant_id: string, slot: Slot): Promise<boolean> {
    const { fresh, read } = slot;
    slot.fresh = null;
    slot.read = false;
    try {
      await this.#bring(tenant_id, read ? null : fresh);
      this.#failed.delete(tenant_id);
      return true;
    } catch (error) {
      const away = error instanceof StoreUnavailable;
      const pause = Math.min(LONGEST_PAUSE, (this.#failed.get(tenant_id)?.pause ?? FIRST_PAUSE / 2) * 2);
      // While the store is away each turn of the reconciler asks it first: no tenant must wait long once it is back.
      this.#failed.set(tenant_id, { pause: away ? FIRST_PAUSE : pause, at: performance.now() + (away ? 0 : pause) });
      this.#deps.log[away ? 'warn' : 'error'](
        { tenant: tenant_id, reason: String((error as Error).message) },
        'head stays pending',
      );
      return false;
    } finally {
      if (slot.next === null) this.#slots.delete(tenant_id);
    }
  }

  async #bring(tenant_id: string, fresh: Fresh | null): Promise<void> {
    const { db, store, signer, verifier } = this.#deps;
    const wanted: WantedHead | null = fresh
      ? { head: fresh.head, manifests: [fresh.manifest] }
      : await wantedHead(db.client, tenant_id);
    if (!wanted) return this.#bury(tenant_id);
    const head = signer.sign(wanted.head);
    this.#keeper.expect(head);
    fault('publish.before-store');
    if (!(fresh && (await this.#inOneStep(head, fresh)))) {
      for (const manifest of wanted.manifests) {
        await putRelease(store, manifest, (names) => this.#bodies(names, fresh));
      }
      const moved = await moveHead(store, head, verifier, (revision) => this.#heads.set(tenant_id, revision));
      // Somebody's newer head is there: what became of the release, the database knows.
      if (moved === 'superseded' && fresh) return this.#bring(tenant_id, null);
    }

    fault('publish.after-head');

    const { version } = wanted.head.stable;
    await this.#published.mark(tenant_id, version);
    fault('publish.after-published');
    // The one before is out: nothing can wait behind it.
    if (fresh && this.#out.get(tenant_id) === version - 1) {
      this.#out.set(tenant_id, version);
      return;
    }
    await db.client.release.updateMany({
      where: { tenant_id, version: { lt: version }, state: 'pending' },
      data: { state: 'superseded' },
    });
    if (!fresh) await db.client.pendingHead.deleteMany({ where: { tenant_id, seq: { lte: wanted.head.seq } } });
    this.#out.set(tenant_id, version);
  }

  /** The usual case, one release after another of this process; false: somebody else was there, or parts are missing. */
  async #inOneStep(head: Head, { manifest, blobs }: Fresh): Promise<boolean> {
    const expected = this.#heads.get(head.tenant);
    if (expected === undefined) return false;
    this.#heads.delete(head.tenant);
    const revision = (await this.#deps.store.publish?.({ head, manifest, blobs, expected })) ?? null;
    if (revision !== null) this.#heads.set(head.tenant, revision);
    return revision !== null;
  }

  /** A tenant that is gone: a head says so, or workers would keep what they have. */
  async #bury(tenant_id: string): Promise<void> {
    const { db, store, now, signer, verifier } = this.#deps;
    this.#out.delete(tenant_id);
    this.#heads.delete(tenant_id);
    const head = await tombstoneOf(db.client, tenant_id, now());
    if (!head) return;
    await moveHead(store, signer.sign(head), verifier);
    await db.client.deletedTenant.updateMany({
      where: { tenant_id, seq: head.seq, head_removed: false },
      data: { head_removed: true },
    });
  }

  async #bodies(names: readonly string[], fresh: Fresh | null): Promise<ReadonlyMap<string, Uint8Array>> {
    const bodies = new Map<string, Uint8Array>();
    const wanted: string[] = [];
    for (const name of names) {
      const body = fresh?.blobs.get(name);
      if (body) bodies.set(name, body);
      else wanted.push(name);
    }
    if (wanted.length === 0) return bodies;
    for (const row of await this.#deps.db.client.blob.findMany({ where: { sha256: { in: wanted } } })) {
      bodies.set(row.sha256, row.body);
    }
    return bodies;
  }

  /** Finishes what a crash or a store outage left behind. */
  async #reconcile(): Promise<void> {
    const { db, store, log } = this.#deps;
    const due = ({ tenant_id }: { tenant_id: string }) =>
      !this.#slots.has(tenant_id) && (this.#failed.get(tenant_id)?.at ?? 0) <= performance.now();
    let tenants: string[];
    try {
      const [pending, heads, deleted] = await Promise.all([
        db.client.release.findMany({
          where: { state: 'pending' },
          distinct: ['tenant_id'],
          select: { tenant_id: true },
          take: 10_000,
        }),
        db.client.pendingHead.findMany({ select: { tenant_id: true }, take: 10_000 }),
        db.client.deletedTenant.findMany({ where: { head_removed: false }, select: { tenant_id: true }, take: 10_000 }),
      ]);
      tenants = [...new Set([...pending, ...heads, ...deleted].filter(due).map((row) => row.tenant_id))];
      if (tenants.length === 0) return;
      await store.ping();
    } catch (error) {
      log.debug({ reason: String((error as Error).message) }, 'reconciler waits');
      return;
    }
    const queue = tenants.values();
    const work = async () => {
      for (const tenant_id of queue) if (!this.#closed) await this.publish(tenant_id);
    };
    await Promise.all(Array.from({ length: PARALLEL }, work));
  }
}
