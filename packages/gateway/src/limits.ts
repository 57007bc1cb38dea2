/**
 * Limits of tenants and of users, and what is used of them. What is used outlives graphs, or each release would fill
 * the buckets again; it belongs to the process, and the processes of a worker tell each other of it.
 */
import { z } from 'zod';
import { Bucket } from './bucket.ts';
import { GatewayError } from './errors.ts';
import type { ClientShare } from './kind.ts';

const rate = (what: string) =>
  z
    .number()
    .positive()
    .optional()
    .describe(
      `${what} per second, forward requests and tunnels (429 with Retry-After); so many as in one second, and at least ` +
        'one, may come at once. The processes of a worker count together without waiting for each other: what comes ' +
        'within some 50 ms each of them may let through. Each worker counts for itself',
    );

/** A user's limit, see `StaticUser`. */
export const requestRateLimit = rate('Sessions of this user');

export const ResourceLimits = z
  .strictObject({
    max_concurrent_connections: z
      .int()
      .min(1)
      .optional()
      .describe(
        'Connections of clients at once, over all servers of the tenant (429). The processes of a worker count together ' +
          'without waiting for each other: there may be up to a tenth more, and what is opened within some 50 ms. Each ' +
          'worker counts for itself',
      ),
    max_requests_per_second: rate('Sessions of the tenant'),
  })
  .meta({ id: 'ResourceLimits', description: 'What a tenant may use at most; absent: no limit' });
export type ResourceLimits = z.output<typeof ResourceLimits>;

/** Limits as they were stored or released once: what is no limit any more is left out. */
export const StoredLimits = ResourceLimits.strip().describe('What the tenant may use at most');

/** Most seconds that Retry-After says. */
const LONGEST_S = 86_400;

export class RateLimited extends GatewayError {
  /** s */
  readonly retryAfter: number;
  constructor(detail: string, waitMs: number) {
    super('rate_limited', detail);
    this.retryAfter = Math.min(LONGEST_S, Math.max(1, Math.ceil(waitMs / 1000)));
  }
}

/** What processes that limit together tell each other. */
export interface UseShare {
  /** By tenant. */
  readonly connections: ClientShare;
  /** One session of a user, or of the tenant as a whole where `user` is ''. Costs little, waits for nothing. */
  took(tenant: string, user: string, perSecond: number): void;
}

/** Sessions that another process let through. */
export type Taken = readonly [tenant: string, user: string, count: number, perSecond: number];

/** Buckets that are full again are looked for when there are so many, or twice as many as were left last time. */
const MANY = 1024;

/** What one tenant uses. */
export class TenantUse {
  readonly tenant: string;
  /** Connections of its clients that are open here. */
  connections = 0;
  /** The tenant is gone: nobody looks for this any more once the last connection is closed. */
  gone = false;
  readonly #limits: Limits;
  /** By user, '' for all of them. */
  #buckets: Map<string, Bucket> | undefined;
  #sweepAt = MANY;
  #mostConnections = Infinity;

  constructor(tenant: string, limits: Limits) {
    this.tenant = tenant;
    this.#limits = limits;
  }

  /** A session of the tenant begins. Throws RateLimited. */
  session(perSecond: number): void {
    this.#take('', perSecond, 'max_requests_per_second of this tenant');
  }

  /** A session of a user begins, who has proven to be it. Throws RateLimited. */
  userSession(group: string, name: string, perSecond: number): void {
    this.#take(`${group}\0${name}`, perSecond, `request_rate_limit of user ${name}`);
  }

  /** A client has connected. Fails with GatewayError too_many_sessions; otherwise `closed` must follow in the end. */
  opened(most: number | undefined): void {
    const { share } = this.#limits;
    if (most !== undefined) {
      const open = share ? this.connections + share.connections.elsewhere(this.tenant) : this.connections;
      if (open >= most) throw new GatewayError('too_many_sessions', `${open} connections of this tenant are open`);
    }
    this.connections++;
    this.#mostConnections = most ?? Infinity;
    share?.connections.changed(this.tenant, this.connections, this.#mostConnections);
  }

  closed(): void {
    this.connections--;
    this.#limits.share?.connections.changed(this.tenant, this.connections, this.#mostConnections);
    if (this.gone) this.#limits.forget(this.tenant);
  }

  heard(user: string, count: number, perSecond: number): void {
    this.#bucket(user, perSecond).drain(count, this.#limits.now(), perSecond);
  }

  /** Buckets that are kept. */
  get size(): number {
    return this.#buckets?.size ?? 0;
  }

  #take(user: string, perSecond: number, what: string): void {
    const waitMs = this.#bucket(user, perSecond).take(this.#limits.now(), perSecond);
    if (waitMs > 0) throw new RateLimited(`${what} is used up`, waitMs);
    this.#limits.share?.took(this.tenant, user, perSecond);
  }

  #bucket(user: string, perSecond: number): Bucket {
    this.#buckets ??= new Map();
    let bucket = this.#buckets.get(user);
    if (bucket === undefined) {
      const now = this.#limits.now();
      if (this.#buckets.size >= this.#sweepAt) this.#sweep(this.#buckets, now);
      bucket = new Bucket(now, perSecond);
      this.#buckets.set(user, bucket);
    }
    return bucket;
  }

  #sweep(buckets: Map<string, Bucket>, now: number): void {
    for (const [user, bucket] of buckets) if (bucket.isFull(now)) buckets.delete(user);
    this.#sweepAt = Math.max(MANY, buckets.size * 2);
  }
}

/** One per process, made in the composition root. */
export class Limits {
  /** Wall clock, ms. */
  readonly now: () => number;
  readonly share: UseShare | undefined;
  readonly #tenants = new Map<string, TenantUse>();

  /** `share`: for one of several processes that limit together. */
  constructor(now: () => number, share?: UseShare) {
    this.now = now;
    this.share = share;
  }

  /** What the tenant uses; the same object as long as it is served. */
  of(tenant: string): TenantUse {
    let use = this.#tenants.get(tenant);
    if (use === undefined) {
      use = new TenantUse(tenant, this);
      this.#tenants.set(tenant, use);
    }
    use.gone = false;
    return use;
  }

  /** What other processes have let through. */
  heard(taken: readonly Taken[]): void {
    for (const [tenant, user, count, perSecond] of taken) this.#tenants.get(tenant)?.heard(user, count, perSecond);
  }

  /** The tenant is not served any more. Its connections that still end count until then, should it come back. */
  forget(tenant: string): void {
    const use = this.#tenants.get(tenant);
    if (use === undefined) return;
    if (use.connections === 0) this.#tenants.delete(tenant);
    else use.gone = true;
  }
}
