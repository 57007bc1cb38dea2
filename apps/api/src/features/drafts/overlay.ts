/**
 * A draft is a set of changed objects over the live config. Whoever reads it sees the live config of now with these
 * objects in their places; a change whose live object is no longer the one that it was made of is a conflict.
 */
import { canonicalHash } from '@arcus/control/canonical.ts';
import { slices } from '@arcus/control/turns.ts';
import type { AnyObject, Config } from '@arcus/gateway/config.ts';
import { pointer } from '@arcus/gateway/fault.ts';
import { type Family, families } from '@arcus/gateway/kind.ts';
import {
  byName,
  find,
  findUser,
  holdsUsers,
  objectsOf,
  type StaticUser,
  type WithUsers,
  withFamily,
} from '../releases/document.ts';
import { rowChanges, withoutUsers } from '../releases/rows.ts';

/** Users change one by one, so that two drafts of different users of one group do not meet. */
export const draftFamilies = [...families, 'users'] as const;
export type DraftFamily = (typeof draftFamilies)[number];

/** A user as a draft holds it. */
export interface DraftUser {
  readonly user_group: string;
  readonly user: StaticUser;
}

export interface Change {
  readonly family: DraftFamily;
  readonly name: string;
  /** AnyObject (a user group's without its users), DraftUser for `users`; null: the draft deletes it. */
  readonly object: unknown;
  /** Hash of the live object that it was made of; null: there was none. */
  readonly base: string | null;
  readonly revision: number;
  readonly updated_at: Date;
}

export interface Conflict {
  family: DraftFamily;
  name: string;
  /** `/<family>/<name>` */
  pointer: string;
  message: string;
}

export const keyOf = (family: string, name: string): string => `${family}/${name}`;
export const hashOf = (value: unknown): string | null => (value === null ? null : canonicalHash(value));

/** The live object or user in the form that drafts hold it in; null when there is none. */
export function partOf(config: Config, family: DraftFamily, name: string): unknown {
  if (family === 'users') {
    const found = findUser(config, name);
    return found ? { user_group: found.group.name, user: found.user } : null;
  }
  const object = find(objectsOf(config, family), name);
  return object ? bare(object) : null;
}

/** A group keeps an empty list of users: it tells groups that hold users from others. */
const bare = (object: AnyObject): AnyObject =>
  holdsUsers(object) ? ({ ...withoutUsers(object), static_users: [] } as WithUsers) : object;

/**
 * What a write does to a draft: `before` and `after` are its config, sharing what is equal. Answers the changes to
 * keep in the place of those of the same object, and the keys of those that made the object as it is live.
 */
export async function changesOf(
  live: Config,
  before: Config,
  after: Config,
  known: ReadonlyMap<string, Change>,
  revision: number,
  at: Date,
): Promise<{ put: Change[]; removed: Change[] }> {
  const rows = rowChanges(before, after);
  const breathe = slices();
  const touched: [DraftFamily, string][] = [
    ...rows.resources.put.map(({ family, object }): [Family, string] => [family, object.name]),
    ...rows.resources.removed.map(({ family, name }): [Family, string] => [family, name]),
    ...rows.users.put.map(({ user }): ['users', string] => ['users', user.name]),
    ...rows.users.removed.map((name): ['users', string] => ['users', name]),
  ];
  const put: Change[] = [];
  const removed: Change[] = [];
  for (const [family, name] of touched) {
    const old = known.get(keyOf(family, name));
    const object = partOf(after, family, name);
    const liveHash = hashOf(partOf(live, family, name));
    if (hashOf(object) !== liveHash) {
      put.push({ family, name, object, base: old ? old.base : liveHash, revision, updated_at: at });
    } else if (old) removed.push(old);
    await breathe();
  }
  return { put, removed };
}

/** Conflicts that are told at once. */
export const CONFLICTS = 100;

/** The live config with the changes in it, sharing all else with it. Conflicts: `most` at most. */
export async function overlay(
  live: Config,
  changes: Iterable<Change>,
  most = CONFLICTS,
): Promise<{ config: Config; conflicts: Conflict[] }> {
  const breathe = slices();
  const conflicts: Conflict[] = [];
  const conflict = (family: DraftFamily, name: string, message: string) => {
    if (conflicts.length < most) conflicts.push({ family, name, pointer: pointer(family, name), message });
  };
  const byFamily = new Map<DraftFamily, Change[]>();
  for (const change of changes) {
    const list = byFamily.get(change.family);
    if (list) list.push(change);
    else byFamily.set(change.family, [change]);
    await breathe();
    const now = hashOf(partOf(live, change.family, change.name));
    if (now === change.base || now === hashOf(change.object)) continue;
    const what = now === null ? 'was deleted' : change.base === null ? 'was made' : 'was changed';
    conflict(change.family, change.name, `${change.family}/${change.name} ${what} outside of this draft`);
  }

  let config = live;
  for (const family of families) {
    const list = byFamily.get(family);
    if (list) config = withFamily(config, family, placed(objectsOf(live, family), list));
  }
  const users = byFamily.get('users') ?? [];
  config = withUsers(live, config, users, (name, group) =>
    conflict('users', name, `the user group "${group}" of the user "${name}" is gone, or holds no users any more`),
  );
  for (const name of lostUsers(live, config, new Set(users.map((change) => change.name)), byFamily)) {
    conflict('users', name, `the user "${name}" was made outside of this draft, which deletes its user group`);
  }
  return { config, conflicts };
}

function placed(objects: readonly AnyObject[], changes: readonly Change[]): AnyObject[] {
  const all = new Map(objects.map((object) => [object.name, object]));
  for (const { name, object } of changes) {
    const live = all.get(name);
    if (object === null) all.delete(name);
    else {
      const users = live && holdsUsers(live) ? live.static_users : [];
      const next = object as AnyObject;
      all.set(name, holdsUsers(next) ? ({ ...next, static_users: users } as WithUsers) : next);
    }
  }
  return [...all.values()].sort(byName);
}

function withUsers(
  live: Config,
  config: Config,
  changes: readonly Change[],
  homeless: (name: string, group: string) => void,
): Config {
  /** Group -> user -> as it shall be there. */
  const groups = new Map<string, Map<string, StaticUser | null>>();
  const say = (group: string, name: string, user: StaticUser | null) => {
    const users = groups.get(group);
    if (users) users.set(name, user);
    else groups.set(group, new Map([[name, user]]));
  };
  for (const { name, object } of changes) {
    const now = findUser(live, name);
    if (now) say(now.group.name, name, null);
    if (object === null) continue;
    const { user_group, user } = object as DraftUser;
    const group = find(objectsOf(config, 'user_groups'), user_group);
    if (group && holdsUsers(group)) say(user_group, name, user);
    else homeless(name, user_group);
  }
  if (groups.size === 0) return config;
  const objects = objectsOf(config, 'user_groups').map((group) => {
    const own = groups.get(group.name);
    if (!own || !holdsUsers(group)) return group;
    return { ...group, static_users: merged(group.static_users, own) } as WithUsers;
  });
  return withFamily(config, 'user_groups', objects);
}

/** A list in canonical order with these in their places; one pass, because the list may be long. */
function merged(users: readonly StaticUser[], changes: ReadonlyMap<string, StaticUser | null>): StaticUser[] {
  const put = [...changes.values()].filter((user) => user !== null).sort(byName);
  const result: StaticUser[] = [];
  let next = 0;
  for (const user of users) {
    while (next < put.length && put[next]!.name < user.name) result.push(put[next++]!);
    if (!changes.has(user.name)) result.push(user);
  }
  while (next < put.length) result.push(put[next++]!);
  return result;
}

/** Users of a group that the draft deletes (or makes another kind of), which the draft never saw. */
function lostUsers(
  live: Config,
  config: Config,
  seen: ReadonlySet<string>,
  byFamily: ReadonlyMap<DraftFamily, readonly Change[]>,
): string[] {
  return (byFamily.get('user_groups') ?? []).flatMap(({ name }) => {
    const before = find(objectsOf(live, 'user_groups'), name);
    const after = find(objectsOf(config, 'user_groups'), name);
    if (!before || !holdsUsers(before) || (after && holdsUsers(after))) return [];
    return before.static_users.filter((user) => !seen.has(user.name)).map((user) => user.name);
  });
}
