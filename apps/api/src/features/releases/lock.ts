/** Who changes a tenant has its row to itself. */
import type { Db, Tx } from '../../db/open.ts';
import type { TenantRow } from './state.ts';

/** Somebody else changed the tenant between reading and writing: again. */
export class Moved extends Error {}

/** Locks the tenant's row first of all: parallel writers deadlock without it. Throws Moved when it changed. */
export async function lockTenant(db: Db, tx: Tx, seen: Pick<TenantRow, 'tenant_id' | 'changes'>): Promise<void> {
  // SQLite has one writer at a time anyway, and does not know FOR UPDATE.
  const rows =
    db.kind === 'mysql'
      ? await tx.$queryRaw<
          { changes: number }[]
        >`SELECT changes FROM tenants WHERE tenant_id = ${seen.tenant_id} FOR UPDATE`
      : await tx.$queryRaw<{ changes: number }[]>`SELECT changes FROM tenants WHERE tenant_id = ${seen.tenant_id}`;
  if (rows.length === 0 || Number(rows[0]!.changes) !== seen.changes) throw new Moved();
}
