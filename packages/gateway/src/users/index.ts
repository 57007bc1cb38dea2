/** Users by name. The next release's index takes over what did not change, so that one user of 100,000 costs one. */
import { PAUSE } from '../match/rules.ts';
import type { Steps } from '../slices.ts';
import { changed } from '../window.ts';
import type { StaticUser } from './user.ts';

/** A user who is there twice: its place, and that of the first one. */
export interface Twice {
  readonly index: number;
  readonly first: number;
}

/** Changes on top of a base; beyond this part of it a new base is made. */
const MOST_CHANGES = 1 / 16;

export class UserIndex {
  readonly list: readonly StaticUser[];
  readonly #base: ReadonlyMap<string, StaticUser>;
  /** Newer than the base; null: not there any more. */
  readonly #changes: ReadonlyMap<string, StaticUser | null>;
  /** How many have a slow hash. */
  readonly slow: number;

  private constructor(
    list: readonly StaticUser[],
    base: ReadonlyMap<string, StaticUser>,
    changes: ReadonlyMap<string, StaticUser | null>,
    slow: number,
  ) {
    this.list = list;
    this.#base = base;
    this.#changes = changes;
    this.slow = slow;
  }

  get(name: string): StaticUser | undefined {
    const change = this.#changes.get(name);
    return change === undefined ? this.#base.get(name) : (change ?? undefined);
  }

  /**
   * `before`: one that had no user twice. Of users that are there twice, which `twice` is told, the last one counts.
   * `fresh` is told of the part of the list that `before` does not know.
   */
  static *of(
    list: readonly StaticUser[],
    before?: UserIndex,
    twice: (found: Twice) => void = () => {},
    fresh: (from: number, end: number) => void = () => {},
  ): Steps<UserIndex> {
    const next = before && UserIndex.#after(before, list, fresh);
    if (next) return next;
    fresh(0, list.length);
    const users = new Map<string, StaticUser>();
    let slow = 0;
    let places: Map<string, number> | undefined;
    for (let index = 0; index < list.length; index++) {
      const user = list[index]!;
      users.set(user.name, user);
      slow += hasSlow(user);
      if (users.size < index + 1 && !places) places = placesOf(list);
      const first = places?.get(user.name) ?? index;
      if (first < index) twice({ index, first });
      if (index % PAUSE === PAUSE - 1) yield;
    }
    return new UserIndex(list, users, new Map(), slow);
  }

  /** Null: too much has changed, or somebody is there twice. */
  static #after(
    before: UserIndex,
    list: readonly StaticUser[],
    fresh: (from: number, end: number) => void,
  ): UserIndex | null {
    const at = changed(before.list, list);
    const count = before.#changes.size + at.before - at.from + at.after - at.from;
    if (count > PAUSE && count > before.#base.size * MOST_CHANGES) return null;
    const changes = new Map(before.#changes);
    let { slow } = before;
    for (let i = at.from; i < at.before; i++) {
      const user = before.list[i]!;
      changes.set(user.name, null);
      slow -= hasSlow(user);
    }
    const next = new UserIndex(list, before.#base, changes, 0);
    for (let i = at.from; i < at.after; i++) {
      const user = list[i]!;
      if (next.get(user.name)) return null;
      changes.set(user.name, user);
      slow += hasSlow(user);
    }
    fresh(at.from, at.after);
    return new UserIndex(list, before.#base, changes, slow);
  }
}

const hasSlow = (user: StaticUser): number => (user.password_hash === undefined ? 0 : 1);

/** Where each name is first; needed only where one is there twice. */
function placesOf(list: readonly StaticUser[]): Map<string, number> {
  const places = new Map<string, number>();
  for (let i = list.length - 1; i >= 0; i--) places.set(list[i]!.name, i);
  return places;
}
