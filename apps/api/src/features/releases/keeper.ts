/**
 * Sees to it that the store says what the database says. A head that is gone, older than it should be, or not ours is
 * put back with all that it names; so a store that was wiped is filled again, and one that was tampered with is mended.
 */
import { canonical } from '@arcus/control/canonical.ts';
import type { Head } from '@arcus/control/release.ts';
import type { Verifier } from '@arcus/control/sign.ts';
import { type ConfigStore, HeadConflict } from '@arcus/control/store.ts';
import type { FastifyBaseLogger } from 'fastify';
import type { Db } from '../../db/open.ts';
import { KEEP_DELETED_MS } from './head.ts';

export interface KeeperOptions {
  readonly db: Db;
  readonly store: ConfigStore;
  readonly verifier: Verifier;
  /** Id of the key that signs now. */
  readonly key: string;
  readonly log: FastifyBaseLogger;
  readonly now: () => number;
  /** Brings what the database has of a tenant into the store; false: not now. */
  readonly publish: (tenant_id: string) => Promise<boolean>;
  /** ms, never set back. */
  readonly clock?: () => number;
}

/** What the store has of a tenant, as far as it is ours. */
interface Seen {
  seq: number;
  key: string;
  deleted: boolean;
}

const SWEEP_MS = 30_000;
const RETRY_MS = 1_000;
/** A head that was put back and is lost again rests this long, ms, doubled each time: whoever spoils it may go on. */
const FIRST_REST = 100;
const LONGEST_REST = 2_000;
/** Tenants that are put back at the same time. */
const PARALLEL = 8;
const PAGE = 1_000;

export class Keeper {
  readonly #options: KeeperOptions;
  readonly #stop = new AbortController();
  readonly #seen = new Map<string, Seen>();
  readonly #lost = new Set<string>();
  /** Tenants whose heads were put back lately. */
  readonly #rests = new Map<string, { until: number; rest: number }>();
  /** What this process has just signed and will see come back, as canonical JSON. */
  readonly #expected = new Map<string, string>();
  #watching: Promise<void> | undefined;
  #mending: Promise<void> | undefined;
  #sweeping: Promise<void> | undefined;
  #sweepAgain = false;
  /** Heads could not be put back, and the store has not answered since. */
  #away = false;
  #timer: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  readonly #clock: () => number;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
  }

  /** Looks at all heads now, at each list of the store and every 30 s; at each change of a head in between. */
  start(): void {
    this.#watching = this.#watch().catch((error) =>
      this.#options.log.error({ err: error }, 'the heads in the store are not watched any more'),
    );
  }

  /** This process puts this head into the store: when it shows, it need not be checked. */
  expect(head: Head): void {
    if (this.#watching) this.#expected.set(head.tenant, canonical(head));
  }

  async close(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#timer);
    clearTimeout(this.#retry);
    await Promise.all([this.#watching, this.#mending, this.#sweeping]);
    clearTimeout(this.#timer);
  }

  async #watch(): Promise<void> {
    const { store } = this.#options;
    for await (const event of store.watchHeads(this.#stop.signal)) {
      switch (event.type) {
        case 'list':
          this.#seen.clear();
          for (const [tenant, head] of event.heads) await this.#see(tenant, head);
          this.#sweep();
          break;
        case 'put':
          if (!(await this.#see(event.tenant, event.head))) this.#lose(event.tenant);
          break;
        case 'invalid':
        case 'delete':
          this.#seen.delete(event.tenant);
          this.#lose(event.tenant);
          break;
      }
    }
  }

  /** Answers whether this head may stay. */
  async #see(tenant: string, head: Head): Promise<boolean> {
    const before = this.#seen.get(tenant);
    this.#seen.delete(tenant);
    const ours = this.#expected.get(tenant) === canonical(head);
    if (ours) this.#expected.delete(tenant);
    else if ((await this.#options.verifier.check(head, tenant)) !== null) return false;
    this.#seen.set(tenant, { seq: head.seq, key: head.signature.key, deleted: head.deleted === true });
    return before === undefined || before.seq <= head.seq;
  }

  #lose(tenant: string): void {
    this.#lost.add(tenant);
    this.#mending ??= this.#mend().finally(() => {
      this.#mending = undefined;
      // What was lost while the last one was being put back, or rests.
      if (this.#lost.size > 0 && !this.#stop.signal.aborted) this.#later();
    });
  }

  #later(): void {
    clearTimeout(this.#retry);
    let pause = RETRY_MS;
    for (const tenant of this.#away ? [] : this.#lost) {
      pause = Math.min(pause, (this.#rests.get(tenant)?.until ?? 0) - this.#clock());
    }
    this.#retry = setTimeout(
      () => {
        const [tenant] = this.#lost;
        if (tenant !== undefined) this.#lose(tenant);
      },
      Math.max(FIRST_REST, pause),
    );
    this.#retry.unref();
  }

  /** May this tenant's head be put back now? Then the next time is later. */
  #mayMend(tenant: string): boolean {
    const now = this.#clock();
    const known = this.#rests.get(tenant);
    if (known && now < known.until) return false;
    const again = known !== undefined && now < known.until + LONGEST_REST;
    const rest = again ? Math.min(LONGEST_REST, known.rest * 2) : FIRST_REST;
    this.#rests.set(tenant, { until: now + rest, rest });
    return true;
  }

  async #mend(): Promise<void> {
    const { publish, log } = this.#options;
    // Not one after the other runs into a store that is away; as soon as it answers, all that it lacks is put back.
    const again = this.#away;
    if (again && !(await this.#answers())) return;
    this.#away = false;
    const failed: string[] = [];
    const work = async () => {
      for (const tenant of this.#lost) {
        if (this.#stop.signal.aborted) return;
        if (!this.#mayMend(tenant)) continue;
        this.#lost.delete(tenant);
        if (await publish(tenant)) log.info({ tenant }, 'the store has the head of a tenant again');
        else failed.push(tenant);
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, work));
    // What fails again though the store answers is for the next sweep.
    this.#away = failed.length > 0 && (!again || !(await this.#answers()));
    if (this.#away) for (const tenant of failed) this.#lost.add(tenant);
  }

  async #answers(): Promise<boolean> {
    return this.#options.store.ping().then(
      () => true,
      () => false,
    );
  }

  #sweep(): void {
    if (this.#sweeping) {
      // What it has compared already was an older list: a store that was wiped meanwhile must not wait for the next one.
      this.#sweepAgain = true;
      return;
    }
    this.#sweepAgain = false;
    this.#sweeping = this.#compare()
      .catch((error) =>
        this.#options.log.debug({ reason: (error as Error).message }, 'heads could not be compared with the store'),
      )
      .finally(() => {
        this.#sweeping = undefined;
        if (this.#stop.signal.aborted) return;
        clearTimeout(this.#timer);
        if (this.#sweepAgain) return this.#sweep();
        this.#timer = setTimeout(() => this.#sweep(), SWEEP_MS * (0.75 + Math.random() / 2));
        this.#timer.unref();
      });
  }

  /** All that the database has against what the store has. */
  async #compare(): Promise<void> {
    const { db, key, now, log } = this.#options;
    const quiet = this.#clock() - LONGEST_REST;
    for (const [tenant, { until }] of this.#rests) if (until < quiet) this.#rests.delete(tenant);
    const recent = new Date(now() - KEEP_DELETED_MS);
    let missing = 0;
    let ahead = 0;
    const compare = (tenant: string, seq: bigint) => {
      const seen = this.#seen.get(tenant);
      if (seen && seen.seq > Number(seq)) ahead++;
      else if (!seen || seen.seq < Number(seq) || seen.key !== key) {
        missing++;
        this.#lose(tenant);
      }
    };
    for await (const row of pages((after) =>
      db.client.tenant.findMany({
        where: { tenant_id: { gt: after }, seq: { gt: 0 } },
        orderBy: { tenant_id: 'asc' },
        select: { tenant_id: true, seq: true },
        take: PAGE,
      }),
    )) {
      compare(row.tenant_id, row.seq);
    }
    for await (const row of pages((after) =>
      db.client.deletedTenant.findMany({
        where: { tenant_id: { gt: after }, version: { gt: 0 }, deleted_at: { gt: recent } },
        orderBy: { tenant_id: 'asc' },
        select: { tenant_id: true, seq: true },
        take: PAGE,
      }),
    )) {
      // One that was made again has a higher number.
      const living = await db.client.tenant.findUnique({
        where: { tenant_id: row.tenant_id },
        select: { tenant_id: true },
      });
      if (!living) compare(row.tenant_id, row.seq);
    }
    if (missing > 1) log.warn({ heads: missing }, 'the store lacks heads that the database has: putting them back');
    if (ahead > 0) log.warn({ heads: ahead }, 'the store has heads that are newer than the database');
    await this.#forgetOld(recent.getTime());
  }

  /** Heads of tenants that were deleted long ago have been heard by all. */
  async #forgetOld(before: number): Promise<void> {
    const { store } = this.#options;
    for (const [tenant, seen] of this.#seen) {
      if (!seen.deleted || seen.seq >= before) continue;
      try {
        const now = await store.getHead(tenant);
        if (now?.head.deleted && now.head.seq === seen.seq) await store.deleteHead(tenant, now.revision);
        this.#seen.delete(tenant);
      } catch (error) {
        if (!(error instanceof HeadConflict)) throw error;
      }
    }
  }
}

async function* pages<T extends { tenant_id: string }>(read: (after: string) => Promise<T[]>): AsyncGenerator<T> {
  for (let after = ''; ; ) {
    const rows = await read(after);
    yield* rows;
    if (rows.length < PAGE) return;
    after = rows.at(-1)!.tenant_id;
  }
}
