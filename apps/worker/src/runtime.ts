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
import { type Fault, FaultError, pointer } from '@arcus/gateway/fault.ts';
import type { Live } from '@arcus/gateway/live.ts';
import type { Logger } from 'pino';
import { compileDocument } from './document.ts';
import { backoff, Gate } from './lanes.ts';
import { ListenError, type Listeners, type Wanted } from './listeners.ts';
import type { Release, ReleaseLoader, ReleaseSource } from './loader.ts';
import type { Saved } from './snapshot-record.ts';
import type { Orders } from './watch.ts';

/** Documents from here on go through a lane of their own, so that no small one waits behind them. */
const LARGE = 256 * 1024;
/** A compile that takes longer goes on beside the next one, ms. */
const OVERTIME = 10;
/** So many tenants at once are being taken from one release to the next; more wait with those who know them. */
const AT_ONCE = 64;
const MOST_ISSUES = 100;

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

/** A head that must not be followed: not from the management service, or an old one that comes again. */
export class HeadRefused extends Error {
  readonly code: 'head_not_believed' | 'head_replayed';
  constructor(code: HeadRefused['code'], message: string) {
    super(message);
    this.name = 'HeadRefused';
    this.code = code;
  }
}

type Order = { do: 'follow'; head: Head; source: ReleaseSource } | { do: 'refuse'; reason: string };

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
  readonly #waiters = new Set<{ waiting: Set<Tenant>; done: () => void }>();
  /** Tenants whose order is being carried out, and who waits for there to be fewer. */
  #busy = 0;
  #crowd: (() => void)[] = [];
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
  async #follow(tenant: Tenant, head: Head, source: ReleaseSource): Promise<void> {
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
      return wanted && !sameRelease(tenant.applied, wanted) ? loader.load(tenant.id, wanted, source) : null;
    });
    if (wanted === null) await this.#leave(tenant, head, news);
    else if (release) await this.#apply(tenant, head, wanted, release, source);
    else {
      if (news) this.#noted(tenant, head, 'same');
      if (tenant.refused) this.#answer(tenant, undefined);
    }
  }

  async #apply(tenant: Tenant, head: Head, wanted: ReleaseRef, release: Release, source: ReleaseSource): Promise<void> {
    const { live, listeners, compile, snapshot, drainMs } = this.#options;
    const { version } = wanted;

    fault('apply.after-load');
    const lane = release.bytes < LARGE ? this.#small : this.#large;
    const graph = await lane.run(async () => {
      await this.#breathe();
      if (tenant.order) return null;
      return compileDocument(release.document, tenant.id, version, compile, live.get(tenant.id));
    }, OVERTIME);
    if (graph === null) return; // a newer order came: it is the one to serve
    fault('apply.after-compile');

    const prepared = await listeners.prepare(tenant.id, wantedBy(graph)).catch((error) => {
      graph.retire();
      throw error;
    });
    fault('apply.after-prepare');
    const fromStore = source === this.#options.store;
    const saved = { tenant: tenant.id, head, manifest: release.manifest, blobs: release.fetched };
    // Clients that saw this release must not meet the one before after a crash. Where none was, nothing comes back.
    const kept = fromStore && tenant.applied !== null;
    if (kept) await snapshot.put(saved);
    if (this.#closed) {
      prepared.abort();
      graph.retire();
      return;
    }
    // One synchronous step: no connection meets half of a release.
    const old = live.swap(tenant.id, graph);
    prepared.commit();

    this.#retire(old);
    prepared.closeUnused(graph.status === 'inactive' ? drainMs : undefined);
    fault('apply.after-swap');
    this.#applied(tenant, wanted, release);
    if (fromStore && !kept) snapshot.save(saved);
  }

  /** The tenant is deleted, or placed elsewhere: what runs ends, nothing new begins. */
  async #leave(tenant: Tenant, head: Head, news: boolean): Promise<void> {
    const { live, loader, listeners, snapshot, report, forget, drainMs, log } = this.#options;
    if (tenant.applied === null && tenant.refused === undefined) {
      if (news && head.deleted) this.#noted(tenant, head, null);
      return;
    }
    const prepared = await listeners.prepare(tenant.id, []);
    await snapshot.put({ tenant: tenant.id, head, manifest: null, blobs: new Map() });
    const old = live.swap(tenant.id, undefined);
    prepared.commit();
    this.#retire(old);
    prepared.closeUnused(drainMs);
    loader.forget(tenant.id);
    this.#serves(tenant, null);
    this.#refuses(tenant, undefined);
    forget(tenant.id);
    report(tenant.id, null);
    log.info({ tenant: tenant.id }, head.deleted ? 'tenant removed' : 'tenant is placed elsewhere');
  }

  /** Keeps a head for the next start: an older one is refused then, too. */
  #noted(tenant: Tenant, head: Head, manifest: 'same' | null): void {
    this.#options.snapshot.save({ tenant: tenant.id, head, manifest, blobs: new Map() });
  }

  // ── orders ─────────────────────────────────────────────────────────────────────────────────────────────────────

  want(id: string, head: Head): void {
    this.#order(id, { do: 'follow', head, source: this.#options.store });
  }

  /** A release that comes with all it needs: from the snapshot. */
  restore(id: string, head: Head, source: ReleaseSource): void {
    this.#order(id, { do: 'follow', head, source });
  }

  refuse(id: string, reason: string): void {
    this.#order(id, { do: 'refuse', reason });
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
    if (this.#busy < AT_ONCE || this.#closed) return undefined;
    return new Promise((enter) => this.#crowd.push(enter));
  }

  /** Resolves when every tenant that has an order now has had its turn, well or badly. */
  settled(): Promise<void> {
    const waiting = new Set([...this.#tenants.values()].filter((t) => t.order !== null || t.busy));
    if (waiting.size === 0) return Promise.resolve();
    return new Promise((done) => this.#waiters.add({ waiting, done }));
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
      if (tenant.retry) clearTimeout(tenant.retry.timer);
      this.#retire(this.#options.live.swap(tenant.id, undefined));
    }
    for (const waiter of this.#waiters) waiter.done();
    for (const enter of this.#crowd.splice(0)) enter();
  }

  #order(id: string, order: Order): void {
    if (this.#closed) return;
    let tenant = this.#tenants.get(id);
    if (!tenant) {
      tenant = {
        ...{ id, order: null, busy: false, head: null, applied: null },
        ...{ refused: undefined, retry: null, attempts: 0 },
      };
      this.#tenants.set(id, tenant);
    }
    tenant.order = order;
    tenant.attempts = 0;
    if (tenant.retry) clearTimeout(tenant.retry.timer);
    tenant.retry = null;
    if (!tenant.busy) void this.#run(tenant);
  }

  /** One tenant's orders, one after another, the newest only. Never fails. */
  async #run(tenant: Tenant): Promise<void> {
    tenant.busy = true;
    this.#busy++;
    for (let order = tenant.order; order !== null && !this.#closed; order = tenant.order) {
      tenant.order = null;
      try {
        if (order.do === 'refuse') throw new StoreCorrupt(`the head in the store is not valid: ${order.reason}`);
        await this.#follow(tenant, order.head, order.source);
      } catch (error) {
        this.#refused(tenant, order, error);
      }
    }
    tenant.busy = false;
    this.#busy--;
    if (this.#busy < AT_ONCE) this.#crowd.shift()?.();
    if (!tenant.retry) this.#hadItsTurn(tenant);
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
    if (environment && order.do !== 'refuse' && !tenant.order) {
      this.#retryLater(tenant, order, error instanceof ListenError, error instanceof ListenError ? 30_000 : 2_000);
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
    if (tenant.retry) this.#hadItsTurn(tenant);
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
    const again = () => {
      tenant.retry = null;
      if (this.#closed || tenant.order) return;
      tenant.order = order;
      if (!tenant.busy) void this.#run(tenant);
    };
    tenant.retry = { timer: setTimeout(again, backoff(tenant.attempts++, 250, most)), again, forAddress };
  }

  #hadItsTurn(tenant: Tenant): void {
    for (const waiter of this.#waiters) {
      if (!waiter.waiting.delete(tenant) || waiter.waiting.size > 0) continue;
      this.#waiters.delete(waiter);
      waiter.done();
    }
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

/** The addresses a graph wants, each with its place in the document. */
function wantedBy(graph: Graph): Wanted[] {
  const places = new Map(
    graph.config.servers.map((server, i) => [server.name, pointer('config', 'servers', i, 'listen')]),
  );
  return [...graph.servers.values()].map((server) => ({ server, pointer: places.get(server.name) ?? '' }));
}

function issuesOf(error: unknown): Fault[] {
  const reason = error instanceof Error ? error.message : String(error);
  if (error instanceof FaultError || error instanceof ListenError) return error.faults.slice(0, MOST_ISSUES);
  if (error instanceof HeadRefused) return [{ pointer: '', code: error.code, message: reason }];
  if (error instanceof StoreCorrupt) return [{ pointer: '', code: 'store_corrupt', message: reason }];
  return [{ pointer: '', code: 'internal', message: `The release cannot be applied: ${reason}` }];
}
