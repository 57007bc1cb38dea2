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
  /** The first list has been turned into orders. */
  readonly onListed: () => void;
  /** The store said something: its view is fresh. */
  readonly onHeard: () => void;
}

/** Follows the store until `signal`; outages are the store's to bridge. */
export async function watch({ store, orders, log, signal, onListed, onHeard }: WatchOptions): Promise<void> {
  for await (const event of store.watchHeads(signal)) {
    onHeard();
    switch (event.type) {
      case 'list': {
        log.info({ tenants: event.heads.size, invalid: event.invalid.size }, 'listed the heads of all tenants');
        for (const [tenant, head] of event.heads) orders.want(tenant, head);
        for (const [tenant, reason] of event.invalid) orders.refuse(tenant, reason);
        for (const tenant of [...orders.tenants()]) {
          if (!event.heads.has(tenant) && !event.invalid.has(tenant)) orders.remove(tenant);
        }
        onListed();
        break;
      }
      case 'put':
        orders.want(event.tenant, event.head);
        break;
      case 'invalid':
        orders.refuse(event.tenant, event.reason);
        break;
      case 'delete':
        orders.remove(event.tenant);
        break;
    }
  }
}
