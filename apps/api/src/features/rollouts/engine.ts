/**
 * Drives rollouts: looks at each every half second, and does what `decide` says. All that it knows is in the database,
 * so any process may go on where another one stopped; a lease sees to it that one at a time does.
 */
import { randomUUID } from 'node:crypto';
import { placed, within } from '@arcus/control/chosen.ts';
import { StoreUnavailable } from '@arcus/control/store.ts';
import { isAway, Prisma } from '../../db/open.ts';
import type { Context } from '../../deps.ts';
import { Problem } from '../../http/problem.ts';
import { placementOf, subsetAt } from '../releases/head.ts';
import { Moved } from '../releases/lock.ts';
import { asksNumbers, decide, partName, type Situation, type Verdict } from './decide.ts';
import { compare, type FleetCounts, readFleet } from './signals.ts';
import { baselineOf, itself, type Move, membersOf, move, type RolloutRow, rulesOf, stepsOf } from './store.ts';
import { bakeMs, LEASE_MS, type Watch, Watches } from './watch.ts';

/** Who waits for longer than that says so, ms. */
const PATIENCE_MS = 30_000;

/** Why there are no numbers. */
function blindness({ bake_seconds }: RolloutRow, hasRedis: boolean, counted: boolean): string {
  if (bake_seconds === 0) return 'it was not watched: bake_seconds is 0';
  if (!hasRedis) return 'this installation has no Redis';
  return counted ? 'they came too late' : 'Redis cannot be asked';
}

/** Who is paused goes no further, and is watched all the same: what must not go on serving is taken back. */
const UNDER_WAY = { in: ['running', 'paused'] as RolloutRow['state'][] };

/** Stands for all workers of a step, among ids of workers. */
const NOBODY = '';

/** A rollout that cannot be looked at so often in a row is given to people. */
const TRIES = 5;

/** Rollouts that are looked at side by side: one that waits for something must not keep another one from being halted. */
const AT_ONCE = 8;

/** So long nobody waits for a Redis again that did not answer, ms. */
const DEAF_MS = 5_000;

/** Is it sure to be gone at some later look? */
const passes = (error: unknown): boolean =>
  error instanceof StoreUnavailable || error instanceof Moved || error instanceof Problem || isAway(error);

type Uses = Pick<Context, 'db' | 'store' | 'fleet' | 'redis' | 'changes' | 'publisher' | 'now' | 'log'>;

export class RolloutEngine {
  readonly #context: Uses;
  readonly #owner = randomUUID();
  readonly #watches: Watches;
  /** Looks in a row that failed, of rollouts. */
  readonly #failures = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> = Promise.resolve();
  #closed = false;
  readonly #clock: () => number;
  /** Redis did not answer in this turn: nobody waits for it again. */
  #deaf = false;
  /** Until then only who is at the end of a bake asks it again, by `#clock`. */
  #deafUntil = Number.NEGATIVE_INFINITY;

  /** `clock`: ms, never set back. */
  constructor(context: Uses, clock: () => number = () => performance.now()) {
    this.#context = context;
    this.#clock = clock;
    this.#watches = new Watches(clock);
  }

  start(everyMs = 500): void {
    const again = () => {
      if (this.#closed) return;
      this.#turn = this.turn()
        .catch((error) => this.#context.log.warn({ reason: (error as Error).message }, 'rollouts cannot be driven now'))
        .finally(() => {
          if (this.#closed) return;
          this.#timer = setTimeout(again, everyMs * (0.75 + Math.random() / 2));
          this.#timer.unref();
        });
    };
    again();
  }

  /** Finishes what it does, and lets others go on at once. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#turn;
    const { db, now } = this.#context;
    await db.client.rollout
      .updateMany({ where: { lease_owner: this.#owner, state: UNDER_WAY }, data: { lease_until: new Date(now()) } })
      .catch(() => {});
  }

  /** One look at all rollouts that are under way. */
  async turn(): Promise<void> {
    const { db } = this.#context;
    const rows = await db.client.rollout.findMany({ where: { state: UNDER_WAY }, orderBy: { created_at: 'asc' } });
    const ids = new Set(rows.map((row) => row.rollout_id));
    this.#watches.keep(ids);
    for (const id of this.#failures.keys()) if (!ids.has(id)) this.#failures.delete(id);
    this.#deaf = false;
    const queue = rows.values();
    const one = async () => {
      for (const row of queue) {
        if (this.#closed) return;
        await this.#tend(row);
      }
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, rows.length) }, one));
  }

  async #tend(row: RolloutRow): Promise<void> {
    const { rollout_id, tenant_id } = row;
    try {
      if (await this.#lease(row)) await this.#drive(row);
      this.#failures.delete(rollout_id);
    } catch (error) {
      const failures = passes(error) ? 0 : (this.#failures.get(rollout_id) ?? 0) + 1;
      this.#failures.set(rollout_id, failures);
      // People know of it since it was given to them.
      if (failures > TRIES && row.state === 'paused') return;
      const reason = (error as Error).message;
      this.#context.log.warn({ rollout: rollout_id, tenant: tenant_id, reason }, 'rollout waits');
      if (failures >= TRIES) await this.#giveUp(row, error as Error).catch(() => {});
    }
  }

  /** A rollout that nobody can drive is for people: nothing that waits for it shall wait unheard. */
  async #giveUp({ tenant_id, rollout_id }: RolloutRow, error: Error): Promise<void> {
    const reason = `it cannot be driven: ${error.message}`.slice(0, 1024);
    await move(this.#context, tenant_id, rollout_id, itself, ({ state }) =>
      state === 'running' ? { data: { state: 'paused', reason }, story: { kind: 'paused', text: reason } } : null,
    );
  }

  async #lease({ rollout_id }: RolloutRow): Promise<boolean> {
    const { db, now } = this.#context;
    const at = now();
    const { count } = await db.client.rollout.updateMany({
      where: {
        rollout_id,
        OR: [
          { lease_owner: this.#owner },
          { lease_until: { lte: new Date(at) } },
          // Nobody takes it for so long: it is of before a clock was set back.
          { lease_until: { gt: new Date(at + 2 * LEASE_MS) } },
        ],
      },
      data: { lease_owner: this.#owner, lease_until: new Date(at + LEASE_MS) },
    });
    return count === 1;
  }

  async #drive(row: RolloutRow): Promise<void> {
    const seen = await this.#look(row);
    if (!seen) return;
    const { situation, members, counts, base, watch } = seen;
    const verdict = decide(situation);
    const made = row.state === 'paused' ? this.#whilePaused(row, verdict, counts) : this.#move(row, verdict, watch);
    const news = members.flat().length !== membersOf(row).flat().length;
    if (!made && !base && !news && !watch.until) return;
    const baseline = base && !made ? { baseline: base as unknown as Prisma.InputJsonObject } : {};
    const until = watch.until && !made ? { bake_until: watch.until } : {};
    await move(this.#context, row.tenant_id, row.rollout_id, itself, (now) =>
      // Somebody's hand was faster: look again.
      now.changes !== row.changes
        ? null
        : {
            ...made,
            data: { members, ...baseline, ...until, ...made?.data },
          },
    );
  }

  async #look(row: RolloutRow) {
    const { db, store, fleet, redis, now } = this.#context;
    const watch = this.#watches.of(row, now());
    const { tenant_id, rollout_id, version, phase } = row;
    const steps = stepsOf(row);
    const subset = subsetAt(steps, row.step);
    const [tenant, known, statuses] = await Promise.all([
      db.client.tenant.findUnique({ where: { tenant_id } }),
      fleet.workers(),
      store.listStatus(tenant_id),
    ]);
    if (tenant?.rollout_id !== rollout_id) return null;
    const placement = placementOf(tenant);
    const here = known.filter((worker) => placed(placement, worker.record));
    const alive = here.filter((worker) => worker.alive).map((worker) => worker.record);
    const workers = alive.map((worker) => ({
      id: worker.id,
      inside: within(subset, worker),
      status: statuses.get(worker.id),
    }));
    const inside = new Set(workers.filter((worker) => worker.inside).map((worker) => worker.id));
    const members = membersOf(row);
    const own = [...new Set([...(members[row.step] ?? []), ...inside])].sort();
    members[row.step] = own;
    const all = new Set(members.flat());
    const missing = here.filter(({ alive, record }) => !alive && all.has(record.id)).map(({ record }) => record.id);
    const deserted = own.length > 0 && inside.size === 0 && missing.length === 0;
    const lost = this.#watches.gone(row, deserted ? [NOBODY] : missing);
    const deserted_ms = lost.get(NOBODY) ?? null;
    lost.delete(NOBODY);
    const rules = rulesOf(row);
    const baseline = baselineOf(row);
    const bakeOver = phase === 'baking' && watch.left === 0;
    const blind: Situation = {
      ...{ version, phase, step: row.step, steps, rules, workers, lost, deserted_ms, bakeOver },
      ...{ tried: all.size > 0, comparison: null, blind: '' },
    };
    // Numbers at the beginning are for all, later ones for who decides by them; who is to be halted waits for none.
    const wanted = baseline ? asksNumbers(rules) || bakeOver : watch.settled;
    const counts =
      phase === 'baking' && wanted && decide(blind).do !== 'halt'
        ? await this.#counts(
            tenant_id,
            bakeOver && row.state === 'running',
            workers.map((worker) => worker.id),
          )
        : null;
    const situation: Situation = {
      ...blind,
      comparison: baseline && counts ? compare(baseline, counts, (id) => inside.has(id)) : null,
      blind: blindness(row, redis !== null, counts !== null),
    };
    return { situation, members, counts, watch, base: counts && this.#baseOf(row, situation, counts) };
  }

  /** Null: Redis cannot be asked. One that does not answer is waited for once in a turn, and in few turns. */
  async #counts(tenant_id: string, needed: boolean, workers: readonly string[]): Promise<FleetCounts | null> {
    if (this.#deaf || (!needed && this.#clock() < this.#deafUntil)) return null;
    const counts = await readFleet(this.#context.redis, tenant_id, workers);
    if (counts === null) {
      this.#deaf = true;
      this.#deafUntil = this.#clock() + DEAF_MS;
    }
    return counts;
  }

  /**
   * What numbers are compared with, when that is to change: all counters of before are in, or a worker came meanwhile.
   * What that one counted before it ran the release is not held against it.
   */
  #baseOf(row: RolloutRow, { version, workers }: Situation, counts: FleetCounts): FleetCounts | null {
    const baseline = baselineOf(row);
    if (baseline === null) return counts;
    const came = workers.filter(
      ({ id, inside, status }) => !baseline[id] && status && (!inside || status.applied === version),
    );
    const settled = this.#watches.settled(
      row,
      came.map((worker) => worker.id),
    );
    return settled.length === 0 ? null : { ...baseline, ...Object.fromEntries(settled.map((id) => [id, counts[id]!])) };
  }

  /** Of all that a verdict may mean: it is watched, window by window, and halted. */
  #whilePaused(row: RolloutRow, verdict: Verdict, counts: FleetCounts | null): Move | null {
    if (verdict.do === 'halt') return this.#move(row, verdict);
    const now = this.#context.now();
    const window = { bake_until: new Date(now + bakeMs(row)), step_at: new Date(now) };
    if (verdict.do === 'bake') return { data: { phase: 'baking', baseline: Prisma.DbNull, ...window } };
    const over = row.phase === 'baking' && verdict.do !== 'wait';
    // What was good for hours must not hide what is bad now.
    if (!over || !counts || !asksNumbers(rulesOf(row))) return null;
    return { data: { baseline: counts as unknown as Prisma.InputJsonObject, ...window } };
  }

  /** What a verdict means for the rows; null: nothing. */
  #move(row: RolloutRow, verdict: Verdict, watch?: Watch): Move | null {
    const now = this.#context.now();
    const at = new Date(now);
    const { version } = row;
    const steps = stepsOf(row);
    switch (verdict.do) {
      case 'wait': {
        const waits = verdict.for !== '' && watch !== undefined && watch.ms >= PATIENCE_MS;
        if (!waits || !this.#watches.tells(row, verdict.for)) return null;
        return { data: { reason: verdict.for.slice(0, 1024) }, story: { kind: 'waiting', text: verdict.for } };
      }
      case 'bake': {
        const bake_until = new Date(now + bakeMs(row));
        return {
          data: { phase: 'baking', bake_until, baseline: Prisma.DbNull, step_at: at, reason: '' },
          story: { kind: 'baking', text: `${verdict.text}: watched for ${row.bake_seconds} s` },
        };
      }
      case 'step': {
        const step = row.step + 1;
        const part = partName(steps, step);
        return {
          data: {
            ...{ step, phase: 'entering', step_at: at, bake_until: null, baseline: Prisma.DbNull },
            reason: '',
          },
          story: { kind: verdict.kind, text: `${verdict.text}; next: ${part}`, details: verdict.details },
        };
      }
      case 'promote': {
        const text = `${verdict.text}; release ${version} is the stable one`;
        return {
          data: { state: 'promoted', reason: text.slice(0, 1024) },
          end: 'promote',
          story: { kind: 'promoted', text, details: verdict.details },
        };
      }
      case 'halt': {
        const text = `${verdict.reason}; all workers go back to release ${row.stable_version}`;
        return {
          data: { state: 'halted', reason: verdict.reason.slice(0, 1024) },
          end: 'revert',
          story: { kind: 'halted', text, details: verdict.details },
        };
      }
      case 'pause':
        return {
          data: { state: 'paused', reason: verdict.reason.slice(0, 1024) },
          story: { kind: 'paused', text: verdict.reason, details: verdict.details },
        };
    }
  }
}
