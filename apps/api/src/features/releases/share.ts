/**
 * What two versions of a config have in common. Of long lists only the part that differs is looked at: one user of
 * 100,000 costs one. As steps, for versions that have little in common.
 */
import { comparing } from '@arcus/gateway/canonical.ts';
import type { AnyObject, Config } from '@arcus/gateway/config.ts';
import { families } from '@arcus/gateway/kind.ts';
import { run, type Steps } from '@arcus/gateway/slices.ts';
import { changed } from '@arcus/gateway/window.ts';
import { byName, holdsUsers, objectsOf, type WithUsers } from './document.ts';

interface Named {
  readonly name: string;
}

/** Items handled between two pauses. */
const PAUSE = 2048;
/** Lists of so many items are compared item by item. */
const LONG = 32;

/** `next` in canonical order, with everything that equals its counterpart in `old` taken from there. */
export const share = (old: Config, next: Config): Config => run(sharing(old, next));

export function* sharing(old: Config, next: Config): Steps<Config> {
  let same = true;
  const config: Record<string, unknown> = {};
  for (const family of families) {
    const list = yield* sharingList(objectsOf(old, family), objectsOf(next, family), sharingObject);
    same &&= list === objectsOf(old, family);
    config[family] = list;
  }
  return same ? old : (config as unknown as Config);
}

function* sharingObject(before: AnyObject | undefined, object: AnyObject): Steps<AnyObject> {
  if (!holdsUsers(object)) {
    const shared = before ? yield* sharingFields(before, object) : object;
    return (yield* comparing(before, shared)) ? before! : shared;
  }
  const old = before && holdsUsers(before) ? before.static_users : [];
  const users = yield* sharingList(old, object.static_users, function* (a, b) {
    return (yield* comparing(a, b)) ? a! : b;
  });
  // The rest is compared without the users: they are many.
  const same = users === old && (yield* comparing({ ...before, static_users: 0 }, { ...object, static_users: 0 }));
  return same ? before! : ({ ...object, static_users: users } as WithUsers);
}

/** `object` with the items of its long lists that are as before, up to and behind what differs. */
function* sharingFields(before: AnyObject, object: AnyObject): Steps<AnyObject> {
  let shared = object;
  for (const [key, list] of Object.entries(object)) {
    const old = (before as unknown as Record<string, unknown>)[key];
    if (!Array.isArray(list) || !Array.isArray(old) || list === old || list.length < LONG) continue;
    const most = Math.min(old.length, list.length);
    let from = 0;
    for (; from < most && (yield* comparing(old[from], list[from])); from++) if (from % PAUSE === PAUSE - 1) yield;
    let same = 0;
    for (; same < most - from && (yield* comparing(old.at(-1 - same), list.at(-1 - same))); same++) {
      if (same % PAUSE === PAUSE - 1) yield;
    }
    const differs = list.slice(from, list.length - same);
    const items =
      from === old.length && from === list.length
        ? old
        : old.slice(0, from).concat(differs, old.slice(old.length - same));
    shared = { ...shared, [key]: items };
  }
  return shared;
}

/** `next` by name, each item as `item` makes it of its counterpart and itself; `old` itself when nothing differs. */
function* sharingList<T extends Named>(
  old: readonly T[],
  next: readonly T[],
  item: (old: T | undefined, next: T) => Steps<T>,
): Steps<readonly T[]> {
  if (old === next) return old;
  let part = changed(old, next);
  let differs = yield* sorting(next.slice(part.from, part.after));
  const [first, last] = [differs[0], differs.at(-1)];
  const above = part.from > 0 ? next[part.from - 1] : undefined;
  const below = next[part.after];
  // What stays is in order already; what differs must belong between.
  if (first && last && ((above && above.name >= first.name) || (below && below.name <= last.name))) {
    part = { from: 0, before: old.length, after: next.length };
    differs = yield* sorting(next.slice());
  }
  let at = part.from;
  let same = differs.length === part.before - part.from;
  for (let i = 0; i < differs.length; i++) {
    const value = differs[i]!;
    while (at < part.before && old[at]!.name < value.name) at++;
    const before = at < part.before ? old[at] : undefined;
    if (before !== value) differs[i] = yield* item(before?.name === value.name ? before : undefined, value);
    same &&= differs[i] === old[part.from + i];
    if (i % PAUSE === PAUSE - 1) yield;
  }
  if (same) return old;
  return old.slice(0, part.from).concat(differs, old.slice(part.before));
}

/** Sorts a list by name. Sorting 100,000 in one go would hold the event loop. */
function* sorting<T extends Named>(list: T[]): Steps<T[]> {
  for (let from = 0; from < list.length; from += PAUSE) {
    const part = list.slice(from, from + PAUSE).sort(byName);
    for (let i = 0; i < part.length; i++) list[from + i] = part[i]!;
    yield;
  }
  for (let width = PAUSE; width < list.length; width *= 2) {
    const merged: T[] = [];
    for (let from = 0; from < list.length; from += 2 * width) {
      const middle = Math.min(from + width, list.length);
      const end = Math.min(from + 2 * width, list.length);
      for (let a = from, b = middle; a < middle || b < end; ) {
        // Of equal names the first stays first.
        if (b === end || (a < middle && list[a]!.name <= list[b]!.name)) merged.push(list[a++]!);
        else merged.push(list[b++]!);
        if (merged.length % PAUSE === 0) yield;
      }
    }
    list = merged;
  }
  return list;
}

/** What differs between two lists in canonical order that share what is equal. */
export interface ListDiff<T> {
  put: { before: T | undefined; after: T }[];
  removed: T[];
}

export const diffList = <T extends Named>(old: readonly T[], next: readonly T[]): ListDiff<T> =>
  run(diffing(old, next));

export function* diffing<T extends Named>(old: readonly T[], next: readonly T[]): Steps<ListDiff<T>> {
  const diff: ListDiff<T> = { put: [], removed: [] };
  const part = changed(old, next);
  let [i, j] = [part.from, part.from];
  for (let n = 1; i < part.before || j < part.after; n++) {
    const a = i < part.before ? old[i] : undefined;
    const b = j < part.after ? next[j] : undefined;
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
    if (n % PAUSE === 0) yield;
  }
  return diff;
}
