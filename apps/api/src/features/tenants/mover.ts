/**
 * Ends moves of tenants: one that shall run elsewhere runs at both places until the workers that it enters have
 * answered; then its head names the new place alone, and the workers that it leaves let its sessions end.
 */
import { chosen, matches } from '@arcus/control/chosen.ts';
import type { Labels } from '@arcus/control/release.ts';
import { Prisma } from '../../db/open.ts';
import type { Context } from '../../deps.ts';
import { audit } from '../audit/record.ts';
import { wantedHead } from '../releases/head.ts';
import { moveHeadRow, withTenant } from '../releases/move.ts';
import type { TenantRow } from '../releases/state.ts';

/** After so long one that has not answered is not waited for, if another one has, ms. */
export const PATIENCE_MS = 60_000;

type Uses = Pick<Context, 'db' | 'store' | 'fleet' | 'changes' | 'publisher' | 'now' | 'log'>;

export class Mover {
  readonly #context: Uses;
  readonly #clock: () => number;
  /** Moves that it waits for, and since when, by the clock that is never set back. */
  readonly #since = new Map<string, { moved_at: number; since: number }>();
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  /** `clock`: ms, never set back. */
  constructor(context: Uses, clock: () => number = () => performance.now()) {
    this.#context = context;
    this.#clock = clock;
  }

  start(everyMs = 1000): void {
    const again = () => {
      if (this.#closed) return;
      this.#turn = this.turn()
        .catch((error) => this.#context.log.warn({ reason: (error as Error).message }, 'moves of tenants wait'))
        .finally(() => {
          if (this.#closed) return;
          this.#timer = setTimeout(again, everyMs * (0.75 + Math.random() / 2));
          this.#timer.unref();
        });
    };
    again();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#turn;
  }

  /** One look at all tenants that move. */
  async turn(): Promise<void> {
    const { db } = this.#context;
    const rows = await db.client.tenant.findMany({ where: { moved_at: { not: null } } });
    const moving = new Set(rows.map((row) => row.tenant_id));
    for (const tenant_id of this.#since.keys()) if (!moving.has(tenant_id)) this.#since.delete(tenant_id);
    for (const row of rows) {
      if (this.#closed) return;
      const reason = await this.#arrived(row);
      if (reason !== null) await this.#narrow(row, reason);
    }
  }

  /** Why the move is over; null while it is not. */
  async #arrived(row: TenantRow): Promise<string | null> {
    const { db, store, fleet } = this.#context;
    const waited = this.#waited(row);
    const labels = (row.placement ?? {}) as Labels;
    const [known, statuses, wanted] = await Promise.all([
      fleet.workers(),
      store.listStatus(row.tenant_id),
      wantedHead(db.client, row.tenant_id),
    ]);
    if (!wanted) return null;
    const entered = known.filter((worker) => worker.alive && matches(labels, worker.record.labels));
    // Each runs what it shall, which need not be the stable release. Nowhere to go: it stays where it is.
    const ready = entered.filter(
      ({ record }) => statuses.get(record.id)?.applied === chosen(wanted.head, record)?.version,
    );
    if (ready.length === 0) return null;
    if (ready.length === entered.length) return `${ready.length} workers have it`;
    if (waited < PATIENCE_MS) return null;
    const missing = entered.filter((worker) => !ready.includes(worker)).map(({ record }) => record.id);
    return `${ready.length} of ${entered.length} workers have it; not waited for any longer: ${missing.slice(0, 10).join(', ')}`;
  }

  /** How long this process has seen it move, ms: clocks of machines jump. */
  #waited({ tenant_id, moved_at }: TenantRow): number {
    const at = moved_at!.getTime();
    const known = this.#since.get(tenant_id);
    const since = known?.moved_at === at ? known.since : this.#clock();
    this.#since.set(tenant_id, { moved_at: at, since });
    return this.#clock() - since;
  }

  async #narrow({ tenant_id, moved_at }: TenantRow, reason: string): Promise<void> {
    const { publisher, log } = this.#context;
    await withTenant(this.#context, tenant_id, async (tx, row, at) => {
      // Somebody was faster, or sent it elsewhere again.
      if (row.moved_at?.getTime() !== moved_at?.getTime()) return;
      await moveHeadRow(tx, row, { leaving: Prisma.DbNull, moved_at: null }, at);
      await audit(
        tx,
        {
          ...{ tenant_id, actor: 'arcus', action: 'tenant.moved', target: tenant_id, request_id: '' },
          ...{ before: { leaving: row.leaving }, after: { placement: row.placement, reason }, version: null },
        },
        at,
      );
    });
    log.info({ tenant: tenant_id, reason }, 'tenant moved');
    await publisher.publish(tenant_id);
  }
}
