import { isIPv6 } from 'node:net';
import { GatewayError } from '../errors.ts';
import type { ResolveStrategy } from '../kind.ts';

/** Asks for all addresses of a name; rejects when there are none. */
export type Lookup = (host: string) => Promise<readonly string[]>;

export interface CacheSettings {
  readonly positive_ttl_ms: number;
  readonly negative_ttl_ms: number;
  readonly max_entries: number;
  readonly timeout_ms: number;
}

/** Names that the resolvers of one tenant keep together at most: some 270 MB of a process, were all answers the longest. */
export const MAX_NAMES = 100_000;
/** Addresses kept of one answer, of each IP version: more are not tried, and a name may have thousands. */
const MAX_ADDRESSES = 16;

interface Answer {
  readonly expires: number;
  readonly v4: readonly string[];
  readonly v6: readonly string[];
  /** Why there are none. */
  readonly failed: string;
}

/**
 * Answers of one resolver object, kept for a short time. It belongs to one tenant's resolver: answers, which may be
 * private to a network, are never shared further.
 */
export class AddressCache {
  readonly #lookup: Lookup;
  readonly #settings: CacheSettings;
  readonly #now: () => number;
  /** In order of insertion: the oldest goes first when it is full. */
  #answers: Map<string, Answer> | undefined;
  #pending: Map<string, Promise<Answer>> | undefined;

  constructor(lookup: Lookup, settings: CacheSettings, now: () => number) {
    this.#lookup = lookup;
    this.#settings = settings;
    this.#now = now;
  }

  async resolve(host: string, strategy: ResolveStrategy): Promise<readonly string[]> {
    let answer = this.#answers?.get(host);
    if (answer === undefined || answer.expires <= this.#now()) answer = await this.#ask(host);
    const addresses = inOrder(answer, strategy);
    if (addresses.length > 0) return addresses;
    throw new GatewayError('dns_failed', `${host}: ${answer.failed || `no address for ${strategy}`}`);
  }

  #ask(host: string): Promise<Answer> {
    this.#pending ??= new Map();
    const all = this.#pending;
    let pending = all.get(host);
    if (pending === undefined) {
      pending = this.#fetch(host).finally(() => all.delete(host));
      all.set(host, pending);
    }
    return pending;
  }

  async #fetch(host: string): Promise<Answer> {
    const { positive_ttl_ms, negative_ttl_ms, max_entries, timeout_ms } = this.#settings;
    let answer: Answer;
    try {
      const all = await withTimeout(this.#lookup(host), timeout_ms);
      const v4 = all.filter((a) => !isIPv6(a)).slice(0, MAX_ADDRESSES);
      const v6 = all.filter((a) => isIPv6(a)).slice(0, MAX_ADDRESSES);
      answer = { expires: this.#now() + positive_ttl_ms, v4, v6, failed: '' };
    } catch (error) {
      const failed = String((error as NodeJS.ErrnoException).code ?? (error as Error).message);
      answer = { expires: this.#now() + negative_ttl_ms, v4: [], v6: [], failed };
    }
    this.#answers ??= new Map();
    this.#answers.delete(host);
    if (this.#answers.size >= max_entries) this.#answers.delete(this.#answers.keys().next().value!);
    this.#answers.set(host, answer);
    return answer;
  }
}

function inOrder({ v4, v6 }: Answer, strategy: ResolveStrategy): readonly string[] {
  if (strategy === 'Ipv4Only') return v4;
  if (strategy === 'Ipv6Only') return v6;
  return strategy === 'Ipv4First' ? inTurn(v4, v6) : inTurn(v6, v4);
}

/** RFC 8305 section 4: where one IP version does not work, its many addresses must not hold up the other. */
function inTurn(first: readonly string[], second: readonly string[]): string[] {
  const all: string[] = [];
  for (let i = 0; i < Math.max(first.length, second.length); i++)
    all.push(...first.slice(i, i + 1), ...second.slice(i, i + 1));
  return all;
}

function withTimeout<T>(promise: Promise<T>, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer in ${ms} ms`)), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
