/** From the store's heads to orders for the runtime. */

import type { Head } from '@arcus/control/release.ts';
import type { ConfigStore } from '@arcus/control/store.ts';
import { slices } from '@arcus/control/turns.ts';
import type { Logger } from 'pino';

/** What the watch tells; the runtime keeps only the newest order of each tenant. */
export interface Orders {
  want(tenant: string, head: Head): void;
  refuse(tenant: string, reason: string): void;
  /** The head is gone: what was never believed may be forgotten. Answers whether the tenant is served, and goes on. */
  gone?(tenant: string): boolean;
  /** Tenants that it serves. */
  tenants(): Iterable<string>;
  /** Awaited before each of many orders. */
  room?(): Promise<void> | undefined;
}

export interface WatchOptions {
  readonly store: ConfigStore;
  readonly orders: Orders;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** The first list has been turned into orders. */
  readonly onListed: () => void;
  /** The store said something: its view is fresh. */
  readonly onHeard: () => void;
}

/** More of them at once are a store that was wiped: told in one line. */
const TOLD_ONE_BY_ONE = 10;

/**
 * Follows the store until `signal`; outages are the store's to bridge. A head that is gone stops nothing: a tenant is
 * deleted by a signed head that says so, and a store that lost its content must not take tenants with it.
 */
export async function watch(options: WatchOptions): Promise<void> {
  const { store, orders, log, signal, onListed, onHeard } = options;
  /** Tenants that are served and have no head, each told once. */
  const missing = new Set<string>();
  /** Tenants that had a head when the store last spoke of them. */
  const known = new Set<string>();
  const gone = (tenant: string): boolean => {
    known.delete(tenant);
    return orders.gone?.(tenant) ?? true;
  };

  for await (const event of store.watchHeads(signal)) {
    onHeard();
    switch (event.type) {
      case 'list': {
        const { heads, invalid } = event;
        log.info({ tenants: heads.size, invalid: invalid.size }, 'listed the heads of all tenants');
        missing.clear();
        for (const tenant of known) if (!heads.has(tenant) && !invalid.has(tenant)) gone(tenant);
        for (const tenant of heads.keys()) known.add(tenant);
        for (const tenant of invalid.keys()) known.add(tenant);
        for (const tenant of orders.tenants()) if (!heads.has(tenant) && !invalid.has(tenant)) missing.add(tenant);
        if (missing.size > 0) {
          const some = [...missing].slice(0, TOLD_ONE_BY_ONE);
          log.warn({ missing: missing.size, some }, 'the store has no head of tenants that are served: they go on');
        }
        const breathe = slices();
        for (const [tenant, head] of heads) {
          // Most say what is known, and then nothing else lets the event loop turn.
          await breathe();
          const room = orders.room?.();
          if (room) await room;
          orders.want(tenant, head);
        }
        for (const [tenant, reason] of invalid) orders.refuse(tenant, reason);
        onListed();
        break;
      }
      case 'put':
        missing.delete(event.tenant);
        known.add(event.tenant);
        orders.want(event.tenant, event.head);
        break;
      case 'invalid':
        missing.delete(event.tenant);
        known.add(event.tenant);
        orders.refuse(event.tenant, event.reason);
        break;
      case 'delete':
        if (!gone(event.tenant) || missing.has(event.tenant)) break;
        missing.add(event.tenant);
        if (missing.size > TOLD_ONE_BY_ONE) break;
        log.warn({ tenant: event.tenant }, 'the head of a tenant is gone from the store: what runs goes on');
        break;
    }
  }
}
