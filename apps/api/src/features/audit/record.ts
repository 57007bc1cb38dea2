import type { AnyObject, Config } from '@arcus/gateway/config.ts';
import { changed } from '@arcus/gateway/window.ts';
import { Prisma, type Tx } from '../../db/open.ts';
import { find, findUser, objectsOf } from '../releases/document.ts';
import { type RowChanges, withoutUsers } from '../releases/rows.ts';
import { redact } from '../releases/secrets.ts';

/** Who did what to what. */
export interface AuditEntry {
  /** '' for what belongs to no tenant. */
  tenant_id: string;
  actor: string;
  /** `<noun>.<verb>`: tenant.create, escapers.put, config.put, users.delete, token.revoke, … */
  action: string;
  target: string;
  before: unknown;
  after: unknown;
  version: number | null;
  request_id: string;
}

/** Adds the event to the transaction of the change itself: no change without its event. Secrets are left out. */
export async function audit(tx: Tx, entry: AuditEntry, at: Date): Promise<void> {
  await tx.$executeRaw(auditStatement(entry, at));
}

export function auditStatement(entry: AuditEntry, at: Date): Prisma.Sql {
  const { tenant_id, actor, action, target, before, after, version, request_id } = entry;
  // Two of the names are words of SQL; SQLite takes MySQL's quotes, too.
  return Prisma.sql`INSERT INTO admin_audit
    (\`at\`, tenant_id, actor, \`action\`, target, \`before\`, \`after\`, version, request_id)
    VALUES (${at}, ${tenant_id}, ${actor}, ${action}, ${target}, ${json(before)}, ${json(after)}, ${version},
            ${request_id})`;
}

function json(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  const text = JSON.stringify(value);
  // Most of what is written has nothing to hide: then it need not be copied.
  return SECRETS.test(text) ? JSON.stringify(redact(value)) : text;
}

/** Found in the JSON of everything that `redact` would change. */
const SECRETS = /"(?:sealed:|\$argon2|password")/;

/** More objects than that are counted, not copied. */
const SHOWN = 100;

/** What a write of config changed, object by object: `{"escapers/ha": …}`. */
export function auditConfig(old: Config, next: Config, changes: RowChanges): { before: unknown; after: unknown } {
  const before: Record<string, unknown> = {};
  const after: Record<string, unknown> = {};
  const { resources, users } = changes;
  for (const { family, name } of [
    ...resources.removed,
    ...resources.put.map(({ family, object }) => ({ family, name: object.name })),
  ].slice(0, SHOWN)) {
    const key = `${family}/${name}`;
    const [a, b] = [find(objectsOf(old, family), name), find(objectsOf(next, family), name)];
    if (a) before[key] = shown(a, b);
    if (b) after[key] = shown(b, a);
  }
  for (const name of [...users.removed, ...users.put.map((put) => put.user.name)].slice(0, SHOWN)) {
    const [a, b] = [findUser(old, name), findUser(next, name)];
    if (a) before[`users/${name}`] = { ...a.user, user_group: a.group.name };
    if (b) after[`users/${name}`] = { ...b.user, user_group: b.group.name };
  }
  const more =
    Math.max(0, resources.removed.length + resources.put.length - SHOWN) +
    Math.max(0, users.removed.length + users.put.length - SHOWN);
  if (more > 0) after['…'] = `${more} more objects`;
  return { before, after };
}

/** Lists with more items are shown where they differ. */
const LONG = 50;

function shown(object: AnyObject, other: AnyObject | undefined): unknown {
  const fields = Object.entries(withoutUsers(object)).map(([key, value]) => {
    if (!Array.isArray(value) || value.length <= LONG) return [key, value];
    const old = (other as unknown as Record<string, unknown> | undefined)?.[key];
    return [key, partOf(value, Array.isArray(old) ? old : [])];
  });
  return Object.fromEntries(fields);
}

/** The items of a long list that are not in the other one, which shares the same; how many there are beside them. */
function partOf(list: readonly unknown[], other: readonly unknown[]): unknown[] {
  const { from, after } = changed(other, list);
  const end = Math.min(after, from + SHOWN);
  const items = list.slice(from, end);
  const note = (count: number) => (count > 0 ? [`… ${count} items`] : []);
  return [...note(from), ...items, ...note(list.length - end)];
}
