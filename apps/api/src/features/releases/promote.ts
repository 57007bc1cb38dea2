/** What is held goes out as it is, by a write that changes nothing. */
import type { Tx } from '../../db/open.ts';
import { audit } from '../audit/record.ts';
import type { ChangeRequest } from './request.ts';
import type { TenantRow } from './state.ts';

/** The held release is to be published: the tenant's row, which must be locked, names it as the stable one. */
export async function promoteHeld(
  tx: Tx,
  { actor, request_id }: ChangeRequest,
  { tenant_id, version, stable_version }: TenantRow,
  at: Date,
): Promise<void> {
  const held = { tenant_id, state: 'held' as const };
  await tx.release.updateMany({ where: { ...held, version }, data: { state: 'pending' } });
  await tx.release.updateMany({ where: { ...held, version: { lt: version } }, data: { state: 'superseded' } });
  const action = 'release.publish';
  await audit(
    tx,
    {
      ...{ tenant_id, actor, action, target: `releases/${version}`, version, request_id },
      ...{ before: { stable_version }, after: { stable_version: version } },
    },
    at,
  );
}
