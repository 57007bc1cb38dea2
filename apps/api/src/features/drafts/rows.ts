/** Drafts as rows, and back. */
import { type AnyObject, parseObject } from '@arcus/gateway/config.ts';
import { type Fault, pointer } from '@arcus/gateway/fault.ts';
import type { Family } from '@arcus/gateway/kind.ts';
import { StaticUser } from '@arcus/gateway/users/user.ts';
import { type Db, Prisma, type Tx } from '../../db/open.ts';
import { invalid } from '../../http/problem.ts';
import { Moved } from '../releases/lock.ts';
import { type Change, type DraftFamily, type DraftUser, keyOf } from './overlay.ts';

export type DraftRow = Prisma.DraftModel;

const CHUNK = 500;

/** The draft with its changes, of one moment; null when there is none. */
export async function readDraft(
  { client }: Db,
  tenant_id: string,
  name: string,
  known: { row: DraftRow; changes: ReadonlyMap<string, Change> } | undefined,
): Promise<{ row: DraftRow; changes: ReadonlyMap<string, Change> } | null> {
  const where = { tenant_id_name: { tenant_id, name } };
  for (;;) {
    const row = await client.draft.findUnique({ where });
    if (!row) return null;
    if (known && sameDraft(known.row, row)) return { row, changes: known.changes };
    const rows = await client.draftChange.findMany({ where: { tenant_id, draft: name } });
    const again = await client.draft.findUnique({ where });
    // Rows of two moments: somebody wrote in between.
    if (!again || !sameDraft(again, row)) continue;
    const changes = new Map<string, Change>();
    const faults: Fault[] = [];
    for (const { family, name, object, base, revision, updated_at } of rows) {
      const parsed = parse(family as DraftFamily, name, object, faults);
      changes.set(keyOf(family, name), {
        ...{ family: family as DraftFamily, name, object: parsed, base, revision, updated_at },
      });
    }
    // Only another version of the software can have written it.
    if (faults.length > 0) throw invalid(faults);
    return { row, changes };
  }
}

export const sameDraft = (a: DraftRow, b: DraftRow): boolean =>
  a.changes === b.changes && a.created_at.getTime() === b.created_at.getTime();

function parse(family: DraftFamily, name: string, object: unknown, faults: Fault[]): unknown {
  if (object === null) return null;
  if (family === 'users') {
    const { user_group, user } = object as DraftUser;
    return { user_group, user: StaticUser.parse(user) };
  }
  const parsed = parseObject(family as Family, object);
  for (const fault of parsed.faults) faults.push({ ...fault, pointer: pointer(family, name) + fault.pointer });
  return parsed.object as AnyObject | null;
}

/** Locks the draft's row first of all. Throws Moved when it changed since, or is another one of the same name. */
export async function lockDraft(db: Db, tx: Tx, seen: DraftRow): Promise<void> {
  const { tenant_id, name, changes, created_at } = seen;
  const rows = await tx.$queryRaw<unknown[]>`SELECT changes FROM drafts WHERE tenant_id = ${tenant_id}
    AND name = ${name} AND changes = ${changes} AND created_at = ${created_at}
    ${db.kind === 'mysql' ? Prisma.sql`FOR UPDATE` : Prisma.empty}`;
  if (rows.length === 0) throw new Moved();
}

export async function removeChanges(tx: Tx, { tenant_id, name }: DraftRow, changes: readonly Change[]): Promise<void> {
  const families = new Map<string, string[]>();
  for (const change of changes) {
    const names = families.get(change.family);
    if (names) names.push(change.name);
    else families.set(change.family, [change.name]);
  }
  for (const [family, names] of families) {
    for (let from = 0; from < names.length; from += CHUNK) {
      const part = names.slice(from, from + CHUNK);
      await tx.draftChange.deleteMany({ where: { tenant_id, draft: name, family, name: { in: part } } });
    }
  }
}

export async function putChanges(tx: Tx, draft: DraftRow, changes: readonly Change[]): Promise<void> {
  await removeChanges(tx, draft, changes);
  for (let from = 0; from < changes.length; from += CHUNK) {
    await tx.draftChange.createMany({
      data: changes.slice(from, from + CHUNK).map(({ object, ...change }) => ({
        ...change,
        tenant_id: draft.tenant_id,
        draft: draft.name,
        object: object === null ? Prisma.DbNull : (object as Prisma.InputJsonObject),
      })),
    });
  }
}
