/** From the store's heads to orders for the runtime: which release a tenant shall run, or that it is gone. */
import type { Head } from '@arcus/control/release.ts';
import type { ConfigStore } from '@arcus/control/store.ts';
import type { Logger } from 'pino';

/** What the watch tells; the runtime keeps only the newest order of each tenant. */
export interface Orders {
  want(tenant: string, head: Head): void;
  refuse(tenant: string, reason: string): void;
  remove(tenant: string): void;
  /** Tenants that it has orders for. */
  tenants(): Iterable<string>;
}

export interface WatchOptions {
  readonly store: ConfigStore;
  readonly orders: Orders;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** How long tenants are kept that a list misses in such numbers that the store may have lost them, ms. */
  readonly holdMs?: number;
  /** The first list has been turned into orders. */
  readonly onListed: () => void;
  /** The store said something: its view is fresh. */
  readonly onHeard: () => void;
}

/** Follows the store until `signal`; outages are the store's to bridge. */
export async function watch(options: WatchOptions): Promise<void> {
  const { store, orders, log, signal, holdMs = 60_000, onListed, onHeard } = options;
  /** Missing from the last list, and not removed yet. */
  const doubtful = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  const removeDoubtful = () => {
    for (const tenant of doubtful) orders.remove(tenant);
    doubtful.clear();
  };
  signal.addEventListener('abort', () => clearTimeout(timer));

  for await (const event of store.watchHeads(signal)) {
    onHeard();
    switch (event.type) {
      case 'list': {
        const { heads, invalid } = event;
        log.info({ tenants: heads.size, invalid: invalid.size }, 'listed the heads of all tenants');
        const known = [...orders.tenants()];
        for (const [tenant, head] of heads) orders.want(tenant, head);
        for (const [tenant, reason] of invalid) orders.refuse(tenant, reason);
        doubtful.clear();
        clearTimeout(timer);
        for (const tenant of known) if (!heads.has(tenant) && !invalid.has(tenant)) doubtful.add(tenant);
        // A tenant or two were deleted while we were cut off. Most of them at once: a store that was wiped, or brought
        // back from a backup, and is being filled again; what runs is not thrown away for that.
        if (doubtful.size > 1 && doubtful.size * 2 > known.length) {
          log.warn({ missing: doubtful.size, known: known.length, holdMs }, 'the store misses most tenants: waiting');
          timer = setTimeout(removeDoubtful, holdMs);
          timer.unref();
        } else removeDoubtful();
        onListed();
        break;
      }
      case 'put':
        doubtful.delete(event.tenant);
        orders.want(event.tenant, event.head);
        break;
      case 'invalid':
        doubtful.delete(event.tenant);
        orders.refuse(event.tenant, event.reason);
        break;
      case 'delete':
        doubtful.delete(event.tenant);
        orders.remove(event.tenant);
        break;
    }
  }
}
