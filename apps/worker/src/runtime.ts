/**
 * The loop: each tenant's newest release from the store to serving, all or nothing, and the answer back. Whatever goes
 * wrong with a release is that tenant's refusal: its last good graph goes on, nobody else notices.
 */
import { canonical } from '@arcus/control/canonical.ts';
import { type Chooser, chosen } from '@arcus/control/chosen.ts';
import { fault } from '@arcus/control/faults.ts';
import type { Head, ReleaseRef, TenantStatus } from '@arcus/control/release.ts';
import type { Verifier } from '@arcus/control/sign.ts';
import { StoreCorrupt, StoreUnavailable } from '@arcus/control/store.ts';
import { slices } from '@arcus/control/turns.ts';
import type { CompileDeps, Graph } from '@arcus/gateway/compile.ts';
import { pointer } from '@arcus/gateway/fault.ts';
import type { Live } from '@arcus/gateway/live.ts';
import type { Logger } from 'pino';
import { type Blocked, circleOf } from './circle.ts';
import { Crowd } from './crowd.ts';
import { compileDocument } from './document.ts';
import { backoff, Gate } from './lanes.ts';
import { type Blocker, formatAddress, ListenError, type Listeners, type Part } from './listeners.ts';
import type { Release, ReleaseLoader, ReleaseSource } from './loader.ts';
import { HeadRefused, issuesOf } from './refusal.ts';
import type { Saved } from './snapshot-record.ts';
import type { Orders } from './watch.ts';

/** Documents from here on go through a lane of their own, so that no small one waits behind them. */
const LARGE = 256 * 1024;
/** A compile that takes longer goes on beside the next one, ms. */
const OVERTIME = 10;
/** So many tenants at once are being taken from one release to the next; more wait with those who know them. */
const AT_ONCE = 64;

export interface RuntimeOptions {
  /** Who this is: heads choose by it. */
  readonly worker: Chooser;
  /** Whose heads are believed. */
  readonly verifier: Verifier;
  readonly live: Live;
  readonly loader: ReleaseLoader;
  readonly listeners: Listeners;
  readonly compile: CompileDeps;
  /** Where a tenant's releases come from unless an order says otherwise. */
  readonly store: ReleaseSource;
  readonly snapshot: { put(saved: Saved): Promise<void>; save(saved: Saved): void };
  /** Takes the answer: applied, refused, or null for a tenant that is not served here any more. */
  readonly report: (tenant: string, status: TenantStatus | null) => void;
  readonly forget: (tenant: string) => void;
  readonly log: Logger;
  /** What connections of a tenant that is gone may take to finish, ms. */
  readonly drainMs: number;
  /** Loads at once; compiling is one at a time, in slices. */
  readonly width?: number;
}

type Follow = { do: 'follow'; head: Head; source: ReleaseSource | null };
type Order = Follow | { do: 'refuse'; reason: string } | { do: 'forget' };

/** A release that is compiled, on its way to serving. */
interface Ready {
  readonly tenant: Tenant;
  readonly order: Follow;
  readonly wanted: ReleaseRef;
  readonly release: Release;
  readonly graph: Graph;
}

interface Tenant {
  readonly id: string;
  /** The newest order that was not begun. */
  order: Order | null;
  busy: boolean;
  /** The newest head that was believed. It stays when the tenant is not served any more, so that no older one counts. */
  head: Head | null;
  /** The release that serves now. */
  applied: ReleaseRef | null;
  refused: TenantStatus['refused'];
  /** Set while an order waits for its next try. */
  retry: { timer: NodeJS.Timeout; again: () => void; forAddress: boolean } | null;
  /** Tries of the present order that failed. */
  attempts: number;
  /** Set while `retry` waits for addresses of other tenants: what it would serve. */
  blocked: (Ready & Blocked) | null;
}

export class Runtime implements Orders {
  readonly #options: RuntimeOptions;
  readonly #tenants = new Map<string, Tenant>();
  readonly #loading: Gate;
  readonly #small = new Gate(1);
  readonly #large = new Gate(1);
  /** Many small tenants, one after another, must not hold the event loop either. */
  readonly #breathe = slices();
  readonly #retired = new Set<Graph>();
  /** Tenants whose order is being carried out. */
  readonly #crowd = new Crowd<Tenant>(AT_ONCE);
  /** Tenants that serve, and those whose newest release was refused. Not counted anew: each release asks. */
  readonly counts = { tenants: 0, refused: 0 };
  #closed = false;
  /** Since start. */
  releasesApplied = 0;
  releasesRefused = 0;

  constructor(options: RuntimeOptions) {
    this.#options = options;
    this.#loading = new Gate(options.width ?? AT_ONCE, 1);
  }

  // ── the story ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Does what a head says, when it is one to be believed. */
  async #follow(tenant: Tenant, order: Follow): Promise<void> {
    const { blocked } = tenant;
    if (blocked) {
      // All but the addresses was there at the last try.
      tenant.blocked = null;
      return this.#serveOrWait(blocked);
    }
    const { head, source } = order;
    const { verifier, worker, loader } = this.#options;
    const before = tenant.head;
    // Each list says again what is known.
    const news = before === null || canonical(before) !== canonical(head);
    const wanted = chosen(head, worker);
    const release = await this.#loading.run(async () => {
      const reason = news ? await verifier.check(head, tenant.id) : null;
      if (reason !== null)
        throw new HeadRefused('head_not_believed', `The head in the store is not believed: ${reason}.`);
      if (before && head.seq < before.seq) {
        const message = `The head in the store is number ${head.seq}, older than number ${before.seq} that was there.`;
        throw new HeadRefused('head_replayed', message);
      }
      tenant.head = head;
      // Signatures are checked beside the event loop, and many are done at once.
      await this.#breathe();
      return wanted && source && !sameRelease(tenant.applied, wanted) ? loader.load(tenant.id, wanted, source) : null;
    });
    if (source === null) return;
    if (wanted === null) await this.#leave(tenant, head, news);
    else if (release) await this.#apply(tenant, order, wanted, release);
    else {
      if (news) this.#noted(tenant, head, 'same');
      if (tenant.refused) this.#answer(tenant, undefined);
    }
  }

  async #apply(tenant: Tenant, order: Follow, wanted: ReleaseRef, release: Release): Promise<void> {
    const { live, compile } = this.#options;
    fault('apply.after-load');
    const lane = release.bytes < LARGE ? this.#small : this.#large;
    const graph = await lane.run(async () => {
      await this.#breathe();
      if (tenant.order) return null;
      return compileDocument(release.document, tenant.id, wanted.version, compile, live.get(tenant.id));
    }, OVERTIME);
    if (graph === null) return; // a newer order came: it is the one to serve
    fault('apply.after-compile');
    await this.#serveOrWait({ tenant, order, wanted, release, graph });
  }

  async #serveOrWait(ready: Ready): Promise<void> {
    try {
      await this.#serve([ready]);
    } catch (error) {
      if (await this.#changePlaces(ready, error)) return;
      throw error;
    }
  }

  /** From addresses to answers: of one tenant, or of several that change places, all or none. */
  async #serve(all: readonly Ready[]): Promise<void> {
    const { live, listeners, snapshot, store } = this.#options;
    const prepared = await listeners.prepare(...all.map((ready) => this.#partOf(ready)));
    fault('apply.after-prepare');
    // Clients that saw this release must not meet the one before after a crash. Where none was, nothing comes back.
    const kept = all.filter(({ tenant, order }) => order.source === store && tenant.applied !== null);
    for (const ready of kept) await snapshot.put(savedOf(ready));
    if (this.#closed) {
      prepared.abort();
      for (const { graph } of all) graph.retire();
      return;
    }
    // One synchronous step: no connection meets half of a release.
    const old = all.map(({ tenant, graph }) => live.swap(tenant.id, graph));
    prepared.commit();

    for (const graph of old) this.#retire(graph);
    prepared.closeUnused();
    fault('apply.after-swap');
    for (const ready of all) {
      this.#applied(ready.tenant, ready.wanted, ready.release);
      if (ready.order.source === store && !kept.includes(ready)) snapshot.save(savedOf(ready));
    }
  }

  /**
   * A release that cannot have its addresses, because of `error`. When those who have them wait as well and give them
   * up, all of them are served in one step: true. Else it waits for them, or has nothing to wait for.
   */
  async #changePlaces(ready: Ready, error: unknown): Promise<boolean> {
    const { tenant, graph } = ready;
    if (!(error instanceof ListenError) || error.blockers.length === 0 || tenant.order || this.#closed) {
      graph.retire();
      return false;
    }
    const wants = new Set([...graph.servers.values()].map((server) => formatAddress(server.listen)));
    const blocked = { ...ready, wants, blockers: error.blockers };
    const circle = circleOf(blocked, (id) => this.#tenants.get(id)?.blocked ?? null);
    if (circle === null) {
      tenant.blocked = blocked;
      return false;
    }
    const others = circle.slice(1);
    for (const other of others) this.#seize(other.tenant);
    try {
      await this.#serve(circle);
      return true;
    } catch {
      // Something else is in the way, too. What it is, each finds out for itself: one tenant's faults are not another's.
      for (const { graph } of circle) graph.retire();
      for (const other of others) this.#retryLater(other.tenant, other.order, true, 30_000);
      return false;
    } finally {
      for (const other of others) this.#release(other.tenant);
    }
  }

  /** The tenant is deleted, or placed elsewhere: what runs ends, nothing new begins. */
  async #leave(tenant: Tenant, head: Head, news: boolean): Promise<void> {
    const { live, loader, listeners, snapshot, report, forget, drainMs, log } = this.#options;
    if (tenant.applied === null && tenant.refused === undefined) {
      if (news && head.deleted) this.#noted(tenant, head, null);
      return;
    }
    const prepared = await listeners.prepare({ tenant: tenant.id, wanted: [], destroyAfter: drainMs });
    await snapshot.put({ tenant: tenant.id, head, manifest: null, blobs: new Map() });
    const old = live.swap(tenant.id, undefined);
    prepared.commit();
    this.#retire(old);
    prepared.closeUnused();
    loader.forget(tenant.id);
    this.#serves(tenant, null);
    this.#refuses(tenant, undefined);
    forget(tenant.id);
    report(tenant.id, null);
    log.info({ tenant: tenant.id }, head.deleted ? 'tenant removed' : 'tenant is placed elsewhere');
  }

  #forget(tenant: Tenant): void {
    if (tenant.head !== null || tenant.order !== null) return;
    this.#refuses(tenant, undefined);
    this.#options.report(tenant.id, null);
    this.#tenants.delete(tenant.id);
  }

  /** Keeps a head for the next start: an older one is refused then, too. */
  #noted(tenant: Tenant, head: Head, manifest: 'same' | null): void {
    this.#options.snapshot.save({ tenant: tenant.id, head, manifest, blobs: new Map() });
  }

  // ── orders ─────────────────────────────────────────────────────────────────────────────────────────────────────

  want(id: string, head: Head): void {
    this.#order(id, { do: 'follow', head, source: this.#options.store });
  }

  /** From the snapshot: a release that comes with all it needs, or, without `source`, a head that no older one follows. */
  restore(id: string, head: Head, source: ReleaseSource | null): void {
    this.#order(id, { do: 'follow', head, source });
  }

  refuse(id: string, reason: string): void {
    this.#order(id, { do: 'refuse', reason });
  }

  /** Its head is gone. What runs goes on; of heads that were never believed nothing is left. */
  gone(id: string): boolean {
    const tenant = this.#tenants.get(id);
    if (tenant?.head === null && tenant.order === null) this.#order(id, { do: 'forget' });
    return tenant !== undefined && tenant.applied !== null;
  }

  *tenants(): Iterable<string> {
    for (const { id, applied } of this.#tenants.values()) if (applied) yield id;
  }

  /** An address became free: who waits for one tries now. */
  readonly retryAddresses = (): void => {
    for (const { retry } of this.#tenants.values()) {
      if (!retry?.forAddress) continue;
      clearTimeout(retry.timer);
      setImmediate(retry.again);
    }
  };

  /** To be awaited before each of many orders: what waits here for its turn would wait in memory. */
  room(): Promise<void> | undefined {
    return this.#closed ? undefined : this.#crowd.room();
  }

  /** Resolves when every tenant that has an order now has had its turn, well or badly. */
  settled(): Promise<void> {
    return this.#crowd.settled(new Set([...this.#tenants.values()].filter((t) => t.order !== null || t.busy)));
  }

  /** Sessions that run, on graphs new and old. */
  get sessions(): number {
    let n = 0;
    for (const graph of this.#options.live.values()) n += graph.sessions;
    for (const graph of this.#retired) n += graph.sessions;
    return n;
  }

  /** Takes no order more and lets go of all graphs; sessions that run keep theirs to the end. */
  close(): void {
    this.#closed = true;
    for (const tenant of this.#tenants.values()) {
      this.#stopWaiting(tenant);
      this.#retire(this.#options.live.swap(tenant.id, undefined));
    }
    this.#crowd.close();
  }

  #order(id: string, order: Order): void {
    if (this.#closed) return;
    let tenant = this.#tenants.get(id);
    if (!tenant) {
      tenant = {
        ...{ id, order: null, busy: false, head: null, applied: null },
        ...{ refused: undefined, retry: null, attempts: 0, blocked: null },
      };
      this.#tenants.set(id, tenant);
    }
    tenant.order = order;
    tenant.attempts = 0;
    this.#stopWaiting(tenant);
    if (!tenant.busy) void this.#run(tenant);
  }

  /** Its order is carried out now, by another tenant's. */
  #seize(tenant: Tenant): void {
    tenant.blocked = null;
    this.#stopWaiting(tenant);
    tenant.busy = true;
    this.#crowd.begin();
  }

  #release(tenant: Tenant): void {
    this.#ended(tenant);
    if (tenant.order) void this.#run(tenant);
  }

  #stopWaiting(tenant: Tenant): void {
    if (tenant.retry) clearTimeout(tenant.retry.timer);
    tenant.retry = null;
    tenant.blocked?.graph.retire();
    tenant.blocked = null;
  }

  /** One tenant's orders, one after another, the newest only. Never fails. */
  async #run(tenant: Tenant): Promise<void> {
    tenant.busy = true;
    this.#crowd.begin();
    for (let order = tenant.order; order !== null && !this.#closed; order = tenant.order) {
      tenant.order = null;
      try {
        if (order.do === 'forget') this.#forget(tenant);
        else if (order.do === 'refuse') throw new StoreCorrupt(`the head in the store is not valid: ${order.reason}`);
        else await this.#follow(tenant, order);
      } catch (error) {
        this.#refused(tenant, order, error);
      }
    }
    this.#ended(tenant);
  }

  #ended(tenant: Tenant): void {
    tenant.busy = false;
    this.#crowd.end();
    if (!tenant.retry && !tenant.order) this.#crowd.hadItsTurn(tenant);
  }

  // ── answers ────────────────────────────────────────────────────────────────────────────────────────────────────

  #applied(tenant: Tenant, { version, manifest }: ReleaseRef, release: Release): void {
    const first = tenant.applied === null;
    this.#serves(tenant, { version, manifest });
    tenant.attempts = 0;
    this.releasesApplied++;
    release.keep();
    this.#answer(tenant, undefined);
    const facts = { tenant: tenant.id, version };
    if (first) this.#options.log.debug(facts, 'release applied');
    else this.#options.log.info(facts, 'release applied');
  }

  #refused(tenant: Tenant, order: Order, error: unknown): void {
    const { log, worker } = this.#options;
    const wanted = order.do === 'follow' ? (chosen(order.head, worker) ?? order.head.stable) : tenant.applied;
    const version = wanted?.version ?? 1;
    const environment =
      error instanceof ListenError || error instanceof StoreUnavailable || error instanceof StoreCorrupt;
    // Who has the address may be about to give it up: that is no answer yet.
    const passing = error instanceof ListenError && this.#passing(error.blockers);
    if (environment && order.do === 'follow' && !tenant.order) {
      const forAddress = error instanceof ListenError;
      this.#retryLater(tenant, order, forAddress, forAddress && !passing ? 30_000 : 2_000);
      if (passing) return;
    }
    if (error instanceof StoreUnavailable) {
      // Nothing is wrong with the release: it is on its way, and the store that could be told is away.
      if (tenant.attempts === 1) log.warn({ tenant: tenant.id, version, err: error }, 'release cannot be loaded yet');
      return;
    }
    const issues = issuesOf(error);
    const known = tenant.refused?.version === version && tenant.refused.issues[0]?.message === issues[0]?.message;
    if (!known) {
      this.releasesRefused++;
      const facts = { tenant: tenant.id, version, issues: issues.slice(0, 10) };
      if (issues[0]?.code === 'internal') log.error({ ...facts, err: error }, 'release refused');
      else log.warn(facts, 'release refused');
    }
    this.#answer(tenant, { version, issues });
    if (tenant.retry) this.#crowd.hadItsTurn(tenant);
  }

  /** Is one of them being taken to another release, or waiting for somebody who is? */
  #passing(blockers: readonly Blocker[], seen = new Set<string>()): boolean {
    return blockers.some(({ tenant: id }) => {
      if (seen.has(id)) return false;
      seen.add(id);
      const tenant = this.#tenants.get(id);
      return tenant?.busy || (tenant?.blocked && this.#passing(tenant.blocked.blockers, seen));
    });
  }

  #answer(tenant: Tenant, refused: TenantStatus['refused']): void {
    this.#refuses(tenant, refused);
    const applied = tenant.applied?.version ?? 0;
    this.#options.report(tenant.id, refused ? { applied, refused } : { applied });
  }

  #serves(tenant: Tenant, release: ReleaseRef | null): void {
    this.counts.tenants += (release ? 1 : 0) - (tenant.applied ? 1 : 0);
    tenant.applied = release;
  }

  #refuses(tenant: Tenant, refused: TenantStatus['refused']): void {
    this.counts.refused += (refused ? 1 : 0) - (tenant.refused ? 1 : 0);
    tenant.refused = refused;
  }

  /** `most`: ms between two tries. A store that is back does not say what it lacked meanwhile. */
  #retryLater(tenant: Tenant, order: Order, forAddress: boolean, most: number): void {
    if (this.#closed) return;
    const again = () => {
      // A newer order came, or the same one is carried out already.
      if (this.#closed || tenant.retry?.again !== again) return;
      tenant.retry = null;
      tenant.order = order;
      if (!tenant.busy) void this.#run(tenant);
    };
    tenant.retry = { timer: setTimeout(again, backoff(tenant.attempts++, 250, most)), again, forAddress };
  }

  /** The addresses that a release wants, each with its place in the document. */
  #partOf({ tenant, graph }: Ready): Part {
    const places = new Map(
      graph.config.servers.map((server, i) => [server.name, pointer('config', 'servers', i, 'listen')]),
    );
    const wanted = [...graph.servers.values()].map((server) => ({ server, pointer: places.get(server.name) ?? '' }));
    return { tenant: tenant.id, wanted, destroyAfter: graph.status === 'inactive' ? this.#options.drainMs : undefined };
  }

  #retire(graph: Graph | undefined): void {
    for (const old of this.#retired) if (old.sessions === 0) this.#retired.delete(old);
    if (!graph) return;
    this.#retired.add(graph);
    graph.retire();
  }
}

const sameRelease = (a: ReleaseRef | null, b: ReleaseRef): boolean =>
  a !== null && a.version === b.version && a.manifest === b.manifest;

const savedOf = ({ tenant, order, release }: Ready): Saved => ({
  tenant: tenant.id,
  head: order.head,
  manifest: release.manifest,
  blobs: release.fetched,
});
