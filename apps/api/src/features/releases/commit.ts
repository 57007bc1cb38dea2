/** Writes a change into the database, all of it or nothing. */
import { canonical } from '@arcus/control/canonical.ts';
import { fault } from '@arcus/control/faults.ts';
import { type Db, Prisma, type Tx } from '../../db/open.ts';
import { type AuditEntry, audit, auditConfig, auditStatement } from '../audit/record.ts';
import { abortRollout } from '../rollouts/abort.ts';
import type { Document } from './document.ts';
import type { Refuse } from './examine.ts';
import { insertRelease, type NewRelease, releaseStatements, sizeOf } from './insert.ts';
import { claimsOf, sameClaims, writeClaims } from './listen.ts';
import { lockTenant, Moved } from './lock.ts';
import type { Made } from './make.ts';
import { moveHeadRow } from './move.ts';
import type { ChangeRequest } from './request.ts';
import { type RowChanges, rowStatements, writeRows } from './rows.ts';
import type { TenantRow, TenantState } from './state.ts';

/** A change as it shall be written. */
export interface Planned {
  readonly request: ChangeRequest;
  readonly before: TenantState;
  readonly document: Document;
  /** The tenant's columns after it. */
  readonly row: TenantRow;
  readonly changes: RowChanges;
  readonly made: Made | null;
  /** Goes out below `made` (see below.ts). */
  readonly below: Made | null;
  readonly at: Date;
  readonly refuse: Refuse;
}

/**
 * Rows, audit event, blobs and release in one transaction. Throws Moved when somebody else changed the tenant, Problem
 * when another tenant took an address meanwhile.
 */
export async function commit(db: Db, planned: Planned): Promise<void> {
  if (isPlain(planned)) {
    if (!(await db.batch(() => plainStatements(db, planned)))) throw new Moved();
    return;
  }
  const fresh = new Map(planned.made?.fresh);
  await db.write((tx) => {
    // It may run again: what its first run found there may be gone.
    for (const [name, body] of fresh) planned.made!.fresh.set(name, body);
    return writeAll(db, tx, planned);
  });
}

/** What goes with a change that turned out to be none. Answers the tenant after it; throws as `commit`. */
export async function commitUnchanged(
  db: Db,
  { also, rollout }: ChangeRequest,
  before: TenantState,
  at: Date,
): Promise<TenantState> {
  const { row } = before;
  const begins = row.version === row.stable_version ? undefined : rollout;
  if (!also && !begins) return before;
  let after = before;
  await db.write(async (tx) => {
    if (begins) {
      await lockTenant(db, tx, row);
      await begins.begin(tx, row, at);
      const moved = await moveHeadRow(tx, row, { rollout_id: begins.id }, at);
      after = { ...before, row: { ...row, ...moved, rollout_id: begins.id } };
    }
    await also?.(tx, at);
  });
  return after;
}

/** Does it ask the database nothing, and change nothing of the tenant but its counters? Nearly all changes do so. */
function isPlain({ request, before, row, document, below }: Planned): boolean {
  const { create, also, restores } = request;
  if (create || also || restores !== undefined || below) return false;
  if (before.row.revision !== row.revision || before.row.rollout_id !== row.rollout_id) return false;
  return sameClaims(claimsOf(before.document.config), claimsOf(document.config));
}

function* plainStatements({ kind }: Db, planned: Planned): Generator<Prisma.Sql> {
  const { before, row, changes, made, at } = planned;
  yield countUp(before.row, row);
  yield* rowStatements(kind, row.tenant_id, changes, row.changes, at);
  if (made) yield* releaseStatements(kind, newRelease(planned, made), at);
  if (endsHeld(planned)) {
    yield Prisma.sql`UPDATE releases SET state = 'superseded' WHERE tenant_id = ${row.tenant_id} AND state = 'held'`;
  }
  fault('publish.in-transaction');
  yield auditStatement(eventOf(planned), at);
}

async function writeAll(db: Db, tx: Tx, planned: Planned): Promise<void> {
  const { request, before, document, row, changes, made, below, at, refuse } = planned;
  const { tenant_id } = request;
  const whole = before.row.revision !== row.revision;
  if (request.create) await insertTenant(tx, row, before);
  else if (whole) await lockTenant(db, tx, before.row);
  else if ((await tx.$executeRaw(countUp(before.row, row))) !== 1) throw new Moved();
  const claims = claimsOf(document.config);
  if (!sameClaims(claimsOf(before.document.config), claims)) {
    const faults = await writeClaims(db, tx, tenant_id, claims);
    if (faults.length > 0) throw refuse(faults, document.config);
  }
  await writeRows(db, tx, tenant_id, changes, row.changes, at);
  if (below) {
    const size = { added: 0, changed: 1, removed: 0 };
    await insertRelease(db, tx, { ...below, held: false, size, restores: undefined }, at);
    await supersedeHeld(tx, tenant_id);
  }
  if (before.row.rollout_id !== null && row.rollout_id === null) {
    const { actor, request_id, takesOver: reason = '' } = request;
    await abortRollout(tx, { tenant_id, rollout_id: before.row.rollout_id, reason, actor, request_id }, at);
  }
  if (made) await insertRelease(db, tx, newRelease(planned, made), at);
  if (endsHeld(planned)) await supersedeHeld(tx, tenant_id);
  if (row.rollout_id !== null && row.rollout_id === request.rollout?.id) await request.rollout.begin(tx, row, at);
  await request.also?.(tx, at);
  fault('publish.in-transaction');
  await audit(tx, eventOf(planned), at);
  if (!request.create && whole) await tx.tenant.updateMany({ where: { tenant_id }, data: columns(row) });
  // A release that is published brings the head along.
  if (row.seq !== before.row.seq && row.stable_version === before.row.stable_version) {
    const { seq } = row;
    await tx.pendingHead.upsert({ where: { tenant_id }, create: { tenant_id, seq }, update: { seq } });
  }
}

function newRelease({ request, before, document, changes }: Planned, made: Made): NewRelease {
  const ownChanged = !request.create && canonical(document.tenant) !== canonical(before.document.tenant);
  const { publish, restores } = request;
  return { ...made, held: publish === 'hold', size: sizeOf(changes, ownChanged), restores };
}

/** Does what was held go out with it? */
const endsHeld = ({ request, before, made }: Planned): boolean =>
  made !== null && request.publish !== 'hold' && before.row.version !== before.row.stable_version;

async function supersedeHeld(tx: Tx, tenant_id: string): Promise<void> {
  await tx.release.updateMany({ where: { tenant_id, state: 'held' }, data: { state: 'superseded' } });
}

function eventOf({ request, before, document, row, changes, made }: Planned): AuditEntry {
  const { tenant_id, actor, action, target, request_id } = request;
  const whole = before.row.revision !== row.revision;
  const { before: was, after: is } = auditConfig(before.document.config, document.config, changes);
  return {
    ...{ tenant_id, actor, action, target, request_id },
    before: request.create ? null : { ...(whole ? { tenant: ownFields(before.row) } : {}), ...(was as object) },
    after: { ...(whole ? { tenant: ownFields(row) } : {}), ...(is as object) },
    version: made ? made.manifest.version : null,
  };
}

const ownFields = ({ tenant_name, status, resource_limits, metadata, placement }: TenantRow) => ({
  tenant_name,
  status,
  resource_limits,
  metadata,
  placement,
});

/** A tenant's columns as Prisma takes them. */
function columns(row: TenantRow): Prisma.TenantUncheckedCreateInput {
  return {
    ...row,
    resource_limits: row.resource_limits as Prisma.InputJsonObject,
    metadata: row.metadata as Prisma.InputJsonObject,
    placement: (row.placement as Prisma.InputJsonObject | null) ?? Prisma.DbNull,
    leaving: (row.leaving as Prisma.InputJsonArray | null) ?? Prisma.DbNull,
  };
}

/** Moves the tenant's counters, which locks its row. Finds no row when it changed. */
function countUp(seen: TenantRow, row: TenantRow): Prisma.Sql {
  const { tenant_id, changes, config_revision, version, stable_version, rollout_id, seq, updated_at } = row;
  return Prisma.sql`UPDATE tenants
    SET changes = ${changes}, config_revision = ${config_revision}, version = ${version},
        stable_version = ${stable_version}, rollout_id = ${rollout_id}, seq = ${seq}, updated_at = ${updated_at}
    WHERE tenant_id = ${tenant_id} AND changes = ${seen.changes}`;
}

async function insertTenant(tx: Tx, row: TenantRow, before: TenantState): Promise<void> {
  const { tenant_id } = row;
  const deleted = await tx.deletedTenant.findUnique({ where: { tenant_id } });
  if ((deleted?.changes ?? 0) !== before.row.changes) throw new Moved();
  // The new one's release will move the head; nobody shall remove it any more.
  if (deleted) await tx.deletedTenant.updateMany({ where: { tenant_id }, data: { head_removed: true } });
  const taken = await tx.tenant.findUnique({ where: { tenant_id }, select: { tenant_id: true } });
  if (taken) throw new Moved();
  await tx.tenant.create({ data: columns(row), select: { tenant_id: true } });
}
