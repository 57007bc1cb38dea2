import type { Db } from '../../db/open.ts';
import { isPrismaError } from '../../db/open.ts';
import { GLOBAL } from '../../http/ids.ts';

/** Makes the tenant of the shared config, once. It has no release before its config is first written. */
export async function ensureGlobal(db: Db, now: number): Promise<void> {
  if (await db.client.tenant.findUnique({ where: { tenant_id: GLOBAL }, select: { tenant_id: true } })) return;
  const at = new Date(now);
  try {
    await db.write((tx) =>
      tx.tenant.create({
        data: {
          ...{ tenant_id: GLOBAL, tenant_name: 'Shared config', status: 'active', resource_limits: {}, metadata: {} },
          ...{ changes: 1, revision: 1, config_revision: 1, version: 0, created_at: at, updated_at: at },
        },
      }),
    );
  } catch (error) {
    // Another process was faster.
    if (!isPrismaError(error, 'P2002')) throw error;
  }
}
