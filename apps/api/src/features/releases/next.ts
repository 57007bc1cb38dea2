/** How a tenant's row is after a change. */
import { canonical } from '@arcus/control/canonical.ts';
import type { Labels } from '@arcus/control/release.ts';
import type { Prisma } from '../../db/open.ts';
import type { Document } from './document.ts';
import { nextSeq } from './head.ts';
import type { Made } from './make.ts';
import type { ChangeRequest, Edit } from './request.ts';
import type { RowChanges } from './rows.ts';
import type { TenantRow, TenantState } from './state.ts';

/** The tenant's columns after a change. */
export function nextRow(
  request: ChangeRequest,
  before: TenantState,
  edit: Edit,
  document: Document,
  changes: RowChanges,
  { made, below, promotes, at }: { made: Made | null; below: Made | null; promotes: boolean; at: Date },
): TenantRow {
  const count = before.row.changes + 1;
  const own =
    request.create === true ||
    canonical(document.tenant) !== canonical(before.document.tenant) ||
    edit.metadata !== undefined ||
    edit.placement !== undefined;
  const moved = moveTo(request, before.row, edit.placement, at);
  const config = request.create === true || !isEmpty(changes);
  const served = (below ?? (request.publish === 'hold' ? null : made))?.manifest.version ?? null;
  const stable_version = promotes ? before.row.version : served;
  const begins = made !== null && served === null ? request.rollout : undefined;
  return {
    ...before.row,
    ...document.tenant,
    metadata: (edit.metadata ?? before.row.metadata) as Prisma.JsonValue,
    changes: count,
    revision: own ? count : before.row.revision,
    config_revision: config ? count : before.row.config_revision,
    version: made ? made.manifest.version : before.row.version,
    ...moved,
    // A rollout that was not to be aborted was refused.
    ...(stable_version === null ? {} : { stable_version, rollout_id: null }),
    ...(begins && { rollout_id: begins.id }),
    ...(moved || begins || stable_version !== null ? { seq: nextSeq(before.row.seq, at.getTime()) } : {}),
    updated_at: at,
  };
}

/**
 * The columns of a tenant that shall run elsewhere; null when it stays. Where it ran before it runs on until it is ready
 * where it shall run (see tenants/mover.ts).
 */
function moveTo(
  { create }: ChangeRequest,
  row: TenantRow,
  placement: Labels | null | undefined,
  at: Date,
): Pick<TenantRow, 'placement' | 'leaving' | 'moved_at'> | null {
  if (placement === undefined || canonical(placement) === canonical(row.placement)) return null;
  if (create || row.stable_version === 0) return { placement, leaving: null, moved_at: null };
  const before = [...((row.leaving ?? []) as (Labels | null)[]), row.placement as Labels | null];
  const leaving = before.filter((labels) => canonical(labels) !== canonical(placement)).slice(-15);
  return { placement, leaving: leaving as Prisma.JsonArray, moved_at: at };
}

const isEmpty = ({ resources, users }: RowChanges): boolean =>
  resources.put.length + resources.removed.length + users.put.length + users.removed.length === 0;
