/** The end of a rollout whose tenant something more urgent takes over: in that transaction, and in its story. */
import type { Tx } from '../../db/open.ts';
import { audit } from '../audit/record.ts';

export interface Abort {
  readonly tenant_id: string;
  readonly rollout_id: string;
  /** For people, such as "rolled back to release 3". */
  readonly reason: string;
  readonly actor: string;
  readonly request_id: string;
}

/** The tenant's row must be locked, and shall name the rollout no more. */
export async function abortRollout(tx: Tx, abort: Abort, at: Date): Promise<void> {
  const { tenant_id, rollout_id, reason, actor, request_id } = abort;
  const row = await tx.rollout.findUnique({ where: { rollout_id }, select: { version: true } });
  if (!row) return;
  await tx.rollout.updateMany({
    where: { rollout_id },
    data: { state: 'aborted', reason, changes: { increment: 1 }, updated_at: at },
  });
  await tx.rolloutEvent.createMany({ data: { rollout_id, at, kind: 'aborted', text: reason, actor } });
  const { version } = row;
  await audit(
    tx,
    {
      ...{ tenant_id, actor, action: 'rollout.aborted', target: `rollouts/${rollout_id}`, request_id, version },
      ...{ before: null, after: { reason } },
    },
    at,
  );
}
