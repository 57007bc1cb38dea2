/**
 * A tenant's config as the API holds it in memory: canonical order (by name), immutable, and new versions share what
 * did not change with old ones, so that comparing them costs little.
 */
import { sameJson } from '@arcus/gateway/canonical.ts';
import type { AnyObject, Config, TenantInfo } from '@arcus/gateway/config.ts';
import { type Family, families } from '@arcus/gateway/kind.ts';

/** What a release is made of. */
export interface Document {
  readonly tenant: TenantInfo;
  readonly config: Config;
}

/** A static user as far as the management service must know it; its kind's schema knows the rest. */
export interface StaticUser {
  readonly name: string;
  readonly blocked?: boolean;
  readonly password?: string;
  readonly password_hash?: string;
  readonly token?: { readonly salt: string; readonly sha1: string };
}

export interface WithUsers extends AnyObject {
  readonly static_users: readonly StaticUser[];
}

/** User groups that hold users of their own; their users are rows in the database. */
export const holdsUsers = (object: AnyObject): object is WithUsers =>
  Array.isArray((object as { static_users?: unknown }).static_users);

export const byName = (a: { name: string }, b: { name: string }): number =>
  a.name < b.name ? -1 : a.name > b.name ? 1 : 0;

/** Where `name` is in a list in canonical order, or where it would go: `~index`. */
export function indexOf(list: readonly { name: string }[], name: string): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list[middle]!.name < name) low = middle + 1;
    else high = middle;
  }
  return list[low]?.name === name ? low : ~low;
}

export function find<T extends { name: string }>(list: readonly T[], name: string): T | undefined {
  return list[indexOf(list, name)];
}

/** The list with `item` in the place of its name. */
export function withItem<T extends { name: string }>(list: readonly T[], item: T): T[] {
  const at = indexOf(list, item.name);
  return at >= 0 ? list.with(at, item) : list.toSpliced(~at, 0, item);
}

export function withoutItem<T extends { name: string }>(list: readonly T[], name: string): T[] {
  const at = indexOf(list, name);
  return at >= 0 ? list.toSpliced(at, 1) : [...list];
}

export const objectsOf = (config: Config, family: Family): readonly AnyObject[] => config[family];

export function withFamily(config: Config, family: Family, objects: readonly AnyObject[]): Config {
  return { ...config, [family]: objects };
}

/** The group that has this user, and the user. */
export function findUser(config: Config, username: string): { group: WithUsers; user: StaticUser } | undefined {
  for (const group of config.user_groups as readonly AnyObject[]) {
    if (!holdsUsers(group)) continue;
    const user = find(group.static_users, username);
    if (user) return { group, user };
  }
  return undefined;
}

/** `next` in canonical order, with everything that equals its counterpart in `old` taken from there. */
export function share(old: Config, next: Config): Config {
  let same = true;
  const config = Object.fromEntries(
    families.map((family) => {
      const list = shareList(objectsOf(old, family), objectsOf(next, family), shareObject);
      same &&= list === objectsOf(old, family);
      return [family, list];
    }),
  );
  return same ? old : (config as unknown as Config);
}

function shareObject(before: AnyObject | undefined, object: AnyObject): AnyObject {
  if (!holdsUsers(object)) return sameJson(before, object) ? before! : object;
  const old = before && holdsUsers(before) ? before.static_users : [];
  const users = shareList(old, object.static_users, (a, b) => (sameJson(a, b) ? a! : b));
  // The rest is compared without the users: they are many.
  const same = users === old && sameJson({ ...before, static_users: 0 }, { ...object, static_users: 0 });
  return same ? before! : ({ ...object, static_users: users } as WithUsers);
}

/** `next` by name, each item as `item` makes it of its counterpart and itself; `old` itself when nothing differs. */
function shareList<T extends { name: string }>(
  old: readonly T[],
  next: readonly T[],
  item: (old: T | undefined, next: T) => T,
): readonly T[] {
  if (old === next) return old;
  let at = 0;
  const list = [...next].sort(byName).map((value) => {
    while (at < old.length && old[at]!.name < value.name) at++;
    const before = old[at];
    if (before === value) return value;
    return item(before?.name === value.name ? before : undefined, value);
  });
  return list.length === old.length && list.every((value, i) => value === old[i]) ? old : list;
}

/** What differs between two lists in canonical order that share what is equal. */
export interface ListDiff<T> {
  put: { before: T | undefined; after: T }[];
  removed: T[];
}

export function diffList<T extends { name: string }>(old: readonly T[], next: readonly T[]): ListDiff<T> {
  const diff: ListDiff<T> = { put: [], removed: [] };
  if (old === next) return diff;
  let i = 0;
  let j = 0;
  while (i < old.length || j < next.length) {
    const a = old[i];
    const b = next[j];
    if (a !== undefined && (b === undefined || a.name < b.name)) {
      diff.removed.push(a);
      i++;
    } else if (b !== undefined && (a === undefined || b.name < a.name)) {
      diff.put.push({ before: undefined, after: b });
      j++;
    } else {
      if (a !== b) diff.put.push({ before: a, after: b! });
      i++;
      j++;
    }
  }
  return diff;
}
