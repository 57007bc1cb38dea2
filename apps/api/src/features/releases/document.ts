/**
 * A tenant's config as the API holds it in memory: canonical order (by name), immutable; new versions share what did not
 * change with old ones (see share.ts), so that comparing them costs little.
 */
import type { AnyObject, Config, TenantInfo } from '@arcus/gateway/config.ts';
import type { Family } from '@arcus/gateway/kind.ts';

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
