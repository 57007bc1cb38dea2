import { createHmac, randomBytes } from 'node:crypto';
import type { User } from '../kind.ts';

interface Proven {
  readonly user: User;
  /** What the login was checked against: while it stands, so does the result. */
  readonly proof: string;
  readonly until: number;
}

/** Both lists together stay below some 4 MiB a group. */
const MAX_PROVEN = 10_000;
const MAX_WRONG = 10_000;
/** A wrong password is refused unchecked for this time, ms. */
const WRONG_MS = 5_000;
/** Longer credentials are never right: names and passwords have limits. */
export const MAX_CREDENTIALS = 4096;

/**
 * Results of logins, so that a slow hash costs once. Proven credentials are kept as they were sent: they pass through
 * this process's memory with each request anyway, and so a request costs one look-up and no hash. Wrong ones, which
 * are often right somewhere else, are kept only as an HMAC under a random key.
 */
export class LoginCache {
  readonly #proven = new Map<string, Proven>();
  readonly #wrong = new Map<string, number>();
  readonly #key = randomBytes(32);
  readonly #now: () => number;
  readonly #ttlMs: number;

  constructor(ttlMs: number, now: () => number) {
    this.#ttlMs = ttlMs;
    this.#now = now;
  }

  /** The user these credentials prove, null when they are known to be wrong, undefined when nothing is known. */
  get(credentials: string): User | null | undefined {
    const proven = this.#proven.get(credentials);
    if (proven !== undefined) {
      if (proven.until > this.#now()) return proven.user;
      this.#proven.delete(credentials);
      return undefined;
    }
    if (this.#wrong.size === 0) return undefined;
    const mac = this.#mac(credentials);
    const until = this.#wrong.get(mac);
    if (until === undefined) return undefined;
    if (until > this.#now()) return null;
    this.#wrong.delete(mac);
    return undefined;
  }

  proven(credentials: string, user: User, proof: string): void {
    if (this.#ttlMs > 0) put(this.#proven, MAX_PROVEN, credentials, { user, proof, until: this.#now() + this.#ttlMs });
  }

  wrong(credentials: string): void {
    put(this.#wrong, MAX_WRONG, this.#mac(credentials), this.#now() + WRONG_MS);
  }

  /**
   * Takes over what `other` has proven: `renew` answers the user as it is configured now, or null when the proof no
   * longer holds. So a release does not make thousands of users pay the slow hash again at once.
   */
  adopt(other: LoginCache, renew: (user: User, proof: string) => User | null): void {
    const latest = this.#now() + this.#ttlMs;
    for (const [credentials, { user, proof, until }] of other.#proven) {
      const renewed = renew(user, proof);
      if (renewed) this.#proven.set(credentials, { user: renewed, proof, until: Math.min(until, latest) });
    }
  }

  #mac(credentials: string): string {
    return createHmac('sha256', this.#key).update(credentials).digest('base64');
  }
}

/** The oldest entry goes when the map is full. */
function put<V>(map: Map<string, V>, max: number, key: string, value: V): void {
  map.delete(key);
  if (map.size >= max) map.delete(map.keys().next().value!);
  map.set(key, value);
}
