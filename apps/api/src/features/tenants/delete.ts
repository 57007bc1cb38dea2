import { canonicalHash } from '@arcus/control/canonical.ts';
import type { Context } from '../../deps.ts';
import { notFound } from '../../http/problem.ts';
import { audit } from '../audit/record.ts';
import { nextSeq } from '../releases/head.ts';
import { lockTenant, Moved } from '../releases/lock.ts';
import type { Origin } from '../releases/request.ts';
import type { TenantRow } from '../releases/state.ts';

/**
 * Deletes a tenant with everything it has, tokens included. What stays: audit events, a row that keeps its versions and
 * revisions from being used again, and for 30 days a head that tells workers to drop it. Answers whether that head is out
 * already; the reconciler sees to it otherwise. `demand` throws to refuse.
 */
export async function deleteTenant(
  { db, changes, publisher, now }: Context,
  tenant_id: string,
  origin: Origin,
  demand: (row: TenantRow) => void,
): Promise<boolean> {
  const at = new Date(now());
  await changes.exclusively(tenant_id, async () => {
    for (;;) {
      const row = await db.client.tenant.findUnique({ where: { tenant_id } });
      if (!row) throw notFound('tenant', tenant_id);
      demand(row);
      const { stable_version } = row;
      const where = { tenant_id_version: { tenant_id, version: stable_version } };
      const stable = await db.client.release.findUnique({ where, select: { manifest: true } });
      try {
        await db.write(async (tx) => {
          await lockTenant(db, tx, row);
          const left = {
            ...{ changes: row.changes + 1, version: row.version, seq: nextSeq(row.seq, at.getTime()) },
            ...(stable && { manifest: canonicalHash(JSON.parse(stable.manifest)) }),
            ...{ head_removed: stable === null, swept: false, deleted_at: at },
          };
          await tx.deletedTenant.upsert({ where: { tenant_id }, create: { tenant_id, ...left }, update: left });
          await tx.tenant.deleteMany({ where: { tenant_id } });
          const { tenant_name, status, resource_limits, metadata } = row;
          await audit(
            tx,
            {
              tenant_id,
              actor: origin.actor,
              action: 'tenant.delete',
              target: tenant_id,
              before: { tenant: { tenant_name, status, resource_limits, metadata } },
              after: null,
              version: null,
              request_id: origin.request_id,
            },
            at,
          );
        });
        changes.states.drop(tenant_id);
        return;
      } catch (error) {
        if (!(error instanceof Moved)) throw error;
      }
    }
  });
  return publisher.publish(tenant_id);
}
