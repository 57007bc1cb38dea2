/** Changes of a tenant's head that make no release. */
import type { Prisma, Tx } from '../../db/open.ts';
import type { Context } from '../../deps.ts';
import { notFound } from '../../http/problem.ts';
import { nextSeq } from './head.ts';
import { lockTenant, Moved } from './lock.ts';
import type { TenantRow } from './state.ts';

/** Others may change the tenant in between; each round somebody gets through. */
const ROUNDS = 20;

/** Runs `work` with the tenant's row locked, again when somebody else changed it in between. */
export async function withTenant(
  { db, changes, now }: Pick<Context, 'db' | 'changes' | 'now'>,
  tenant_id: string,
  work: (tx: Tx, row: TenantRow, at: Date) => Promise<void>,
): Promise<void> {
  await changes.exclusively(tenant_id, async () => {
    for (let round = 1; ; round++) {
      const row = await db.client.tenant.findUnique({ where: { tenant_id } });
      if (!row) throw notFound('tenant', tenant_id);
      try {
        await db.write(async (tx) => {
          await lockTenant(db, tx, row);
          await work(tx, row, new Date(now()));
        });
        return;
      } catch (error) {
        if (!(error instanceof Moved) || round === ROUNDS) throw error;
      }
    }
  });
}

/**
 * The tenant gets another head, without a new release. The reconciler sees to it should this process die now. Answers
 * the columns that count heads and changes.
 */
export async function moveHeadRow(
  tx: Tx,
  row: TenantRow,
  data: Prisma.TenantUncheckedUpdateManyInput,
  at: Date,
): Promise<Pick<TenantRow, 'seq' | 'changes'>> {
  const { tenant_id } = row;
  const changes = row.changes + 1;
  const seq = nextSeq(row.seq, at.getTime());
  await tx.tenant.updateMany({ where: { tenant_id }, data: { ...data, seq, changes } });
  await tx.pendingHead.upsert({ where: { tenant_id }, create: { tenant_id, seq }, update: { seq } });
  return { seq, changes };
}
