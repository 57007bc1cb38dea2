/** Edits of one config object, as `change` takes them. */
import { entriesOf } from '@arcus/gateway/check.ts';
import { type AnyObject, parseEntries } from '@arcus/gateway/config.ts';
import { type Fault, pointer } from '@arcus/gateway/fault.ts';
import type { Family } from '@arcus/gateway/kind.ts';
import { runSliced } from '@arcus/gateway/slices.ts';
import { find, holdsUsers, indexOf, objectsOf, withFamily, withoutItem } from '../releases/document.ts';
import type { Edit } from '../releases/request.ts';
import type { TenantState } from '../releases/state.ts';

/**
 * The config with `body` as the object `name`. Faults in it are relative to `body`. A user group's body without
 * `static_users` leaves its users alone: they have routes of their own.
 */
export async function putObject(state: TenantState, family: Family, name: string, body: unknown): Promise<Edit> {
  const { config, tenant } = state.document;
  const before = find(objectsOf(config, family), name);
  const whole = isObject(body) ? { name, ...body } : body;
  const keepUsers = isObject(body) && !('static_users' in body) && before !== undefined && holdsUsers(before);
  const parsed = await runSliced(parseEntries({ [family]: [whole] }));
  const object = parsed.entries[0]?.object ?? null;
  const faults: Fault[] = parsed.faults.map((f) => ({ ...f, pointer: f.pointer.slice(pointer(family, 0).length) }));
  if (isObject(body) && 'name' in body && body.name !== name) {
    faults.push({
      pointer: '/name',
      code: 'name_differs',
      message: `must be "${name}", as in the path: names do not change`,
    });
  }
  const kept = object && keepUsers && holdsUsers(object) ? { ...object, static_users: before.static_users } : object;
  const objects = objectsOf(config, family);
  const at = indexOf(objects, name);
  const index = at >= 0 ? at : ~at;
  // The rest of the family as it is, with the new object in its place: it may be unparsable, so it is no list yet.
  const entries = entriesOf(withFamily(config, family, withoutItem(objects, name))).map((entry) =>
    entry.family === family && entry.index >= index ? { ...entry, index: entry.index + 1 } : entry,
  );
  entries.push({ family, index, name, object: kept as AnyObject | null });
  const base = pointer(family, index);
  return {
    tenant,
    entries,
    faults: faults.map((fault) => ({ ...fault, pointer: base + fault.pointer })),
    locate: relativeTo(base),
  };
}

/** The config without the object: whoever still names it is a fault. */
export function deleteObject(state: TenantState, family: Family, name: string): Edit {
  const { config, tenant } = state.document;
  const rest = withFamily(config, family, withoutItem(objectsOf(config, family), name));
  return { tenant, entries: entriesOf(rest), faults: [] };
}

/** Pointers below `base` become relative to it: the body that was sent; others go by the whole config. */
export const relativeTo = (base: string) => (at: string) =>
  at === base || at.startsWith(`${base}/`) ? at.slice(base.length) : `/config${at}`;

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
