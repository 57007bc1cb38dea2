/**
 * Connections of each client, told between the processes of a worker, so that a limit of connections per client holds
 * for all of them together. Nobody waits: each process decides by its own count, which is exact, and by what it last
 * heard of the others. A process tells only of clients that have a tenth of their part of the limit, and waits between
 * two tellings; so all together may exceed a limit by
 *
 * - less than a tenth of it, for clients of whom a process does not tell, and
 * - what a client opens between two tellings: at worst each process lets in the whole limit.
 *
 * The connections of each tenant are told in the same way.
 */
import type { ClientShare } from '@arcus/gateway/kind.ts';

/** Address and client -> connections there; for a tenant `tenants` is in the place of an address. */
export type ClientCounts = readonly (readonly [key: string, open: number])[];

/** Between two tellings, ms; shorter when a client is near its limit. */
const TELL_MS = 50;
const URGENT_MS = 5;
/** Most clients in one telling; the others wait for the next. */
const MOST = 2000;

/** The side of one process: what it tells, and what it has heard. */
export class ClientShares {
  readonly #processes: number;
  readonly #tell: (changes: ClientCounts) => void;
  /** Clients elsewhere. */
  readonly #heard = new Map<string, number>();
  readonly #told = new Map<string, number>();
  readonly #changed = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #urgent = false;
  #last = 0;

  constructor(processes: number, tell: (changes: ClientCounts) => void) {
    this.#processes = processes;
    this.#tell = tell;
  }

  /** For the binding of an address. */
  of(address: string): ClientShare {
    const prefix = `${address} `;
    return {
      elsewhere: (client) => (this.#heard.size === 0 ? 0 : (this.#heard.get(prefix + client) ?? 0)),
      changed: (client, open, limit) => this.#change(prefix + client, open, limit),
    };
  }

  /** What a client has at all other processes now. */
  hear(changes: ClientCounts): void {
    for (const [key, open] of changes) {
      if (open > 0) this.#heard.set(key, open);
      else this.#heard.delete(key);
    }
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #change(key: string, open: number, limit: number): void {
    const now = open >= worthTelling(limit, this.#processes) ? open : 0;
    if (now === (this.#told.get(key) ?? 0)) {
      this.#changed.delete(key);
      return;
    }
    this.#changed.set(key, now);
    this.#soon((open + (this.#heard.get(key) ?? 0)) * 2 >= limit);
  }

  #soon(urgent: boolean): void {
    if (this.#timer !== undefined && (this.#urgent || !urgent)) return;
    clearTimeout(this.#timer);
    this.#urgent = urgent;
    const pause = this.#last + (urgent ? URGENT_MS : TELL_MS) - performance.now();
    this.#timer = setTimeout(() => this.#flush(), Math.max(0, pause));
    this.#timer.unref();
  }

  #flush(): void {
    this.#timer = undefined;
    this.#last = performance.now();
    const changes: [string, number][] = [];
    for (const change of this.#changed) {
      changes.push(change);
      const [key, open] = change;
      this.#changed.delete(key);
      if (open > 0) this.#told.set(key, open);
      else this.#told.delete(key);
      if (changes.length < MOST) continue;
      if (this.#changed.size > 0) this.#soon(false);
      break;
    }
    if (changes.length > 0) this.#tell(changes);
  }
}

/** Connections from which on a process tells of a client: a tenth of its even part of the limit. */
export const worthTelling = (limit: number, processes: number): number =>
  Math.max(1, Math.floor(limit / (10 * processes)));

/** The side of the process in front: adds up, and passes on to each what the others have. */
export class ClientSums<P> {
  readonly #counts = new Map<P, Map<string, number>>();
  readonly #sums = new Map<string, number>();
  readonly #tell: (process: P, changes: ClientCounts) => void;

  constructor(tell: (process: P, changes: ClientCounts) => void) {
    this.#tell = tell;
  }

  /** A process that begins hears of all that is open elsewhere. */
  add(process: P): void {
    this.#counts.set(process, new Map());
    if (this.#sums.size > 0) this.#tell(process, [...this.#sums]);
  }

  hear(process: P, changes: ClientCounts): void {
    const counts = this.#counts.get(process);
    if (!counts) return;
    for (const [key, open] of changes) {
      const sum = (this.#sums.get(key) ?? 0) + open - (counts.get(key) ?? 0);
      if (open > 0) counts.set(key, open);
      else counts.delete(key);
      if (sum > 0) this.#sums.set(key, sum);
      else this.#sums.delete(key);
    }
    for (const [other, theirs] of this.#counts) {
      if (other === process) continue;
      this.#tell(
        other,
        changes.map(([key]) => [key, (this.#sums.get(key) ?? 0) - (theirs.get(key) ?? 0)]),
      );
    }
  }

  /** A process is gone, and its connections with it. */
  remove(process: P): void {
    const counts = this.#counts.get(process);
    if (counts && counts.size > 0)
      this.hear(
        process,
        [...counts.keys()].map((key) => [key, 0]),
      );
    this.#counts.delete(process);
  }
}
