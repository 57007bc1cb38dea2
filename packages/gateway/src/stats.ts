/**
 * Counters in memory, one object per (tenant, dimension, name), found once when a graph is compiled and then only
 * incremented: the hot path does no look-up. They outlive graphs, so a release loses no count.
 */
export const dimensions = ['tenant', 'server', 'escaper', 'user'] as const;
export type Dimension = (typeof dimensions)[number];

/** Upper bounds in ms of the latency histogram's buckets; one more bucket takes the rest. */
export const latencyBounds = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000] as const;

export const counterNames = ['connections', 'requests', 'bytes_in', 'bytes_out', 'errors', 'blocked'] as const;
export type CounterName = (typeof counterNames)[number];

export class Counters {
  connections = 0;
  requests = 0;
  bytes_in = 0;
  bytes_out = 0;
  errors = 0;
  blocked = 0;
  /** Connections or tunnels open now. */
  active = 0;
  /** Sum of the latencies in `latency`, ms. */
  latency_sum = 0;
  /** Plain numbers: a typed array of this size takes several times as much, for each of tens of thousands of these. */
  readonly latency: number[] = new Array<number>(latencyBounds.length + 1).fill(0);
  readonly tenant: string;
  readonly dimension: Dimension;
  readonly name: string;

  constructor(tenant: string, dimension: Dimension, name: string) {
    this.tenant = tenant;
    this.dimension = dimension;
    this.name = name;
  }

  observe(ms: number): void {
    this.latency_sum += ms;
    let i = 0;
    while (i < latencyBounds.length && ms > latencyBounds[i]!) i++;
    this.latency[i]!++;
  }
}

/** Something long that counts as it goes: a tunnel. */
export interface Settling {
  /** Adds what was moved since the last call to the counters. */
  settle(): void;
}

export class Stats {
  /** Whoever flushes or scrapes asks these first. */
  readonly settling = new Set<Settling>();
  readonly #all = new Map<string, Counters>();

  /** The counters of one thing; the same object each time. */
  of(tenant: string, dimension: Dimension, name: string): Counters {
    const key = `${dimension}\0${tenant}\0${name}`;
    let found = this.#all.get(key);
    if (found === undefined) {
      found = new Counters(tenant, dimension, name);
      this.#all.set(key, found);
    }
    return found;
  }

  /** All counters, for a flush or a scrape, up to this moment. */
  values(): Iterable<Counters> {
    for (const s of this.settling) s.settle();
    return this.#all.values();
  }

  /** Forgets a tenant that is gone. */
  forget(tenant: string): void {
    for (const [key, c] of this.#all) if (c.tenant === tenant) this.#all.delete(key);
  }
}

/** The counters that the sessions of one server add to. */
export class ServerCounters {
  readonly tenant: Counters;
  readonly server: Counters;
  readonly #stats: Stats;
  #escapers: Map<string, Counters> | undefined;
  #users: Map<string, Counters> | undefined;

  constructor(stats: Stats, tenant: string, server: string) {
    this.#stats = stats;
    this.tenant = stats.of(tenant, 'tenant', '');
    this.server = stats.of(tenant, 'server', server);
  }

  escaper(name: string): Counters {
    this.#escapers ??= new Map();
    return this.#find(this.#escapers, 'escaper', name);
  }

  user(name: string): Counters {
    this.#users ??= new Map();
    return this.#find(this.#users, 'user', name);
  }

  #find(map: Map<string, Counters>, dimension: Dimension, name: string): Counters {
    let counters = map.get(name);
    if (counters === undefined) {
      counters = this.#stats.of(this.tenant.tenant, dimension, name);
      map.set(name, counters);
    }
    return counters;
  }
}
