/** What the snapshot has still to write: the newest order of each tenant, with all that those before it brought. */
import { type Saved, sizeOf } from './snapshot-record.ts';

/** What a tenant's file shall say; null: it shall go. */
export type Wanted = Saved | null;

export class Waiting {
  readonly #orders = new Map<string, Wanted>();
  readonly #most: number;
  /** Bodies that wait, bytes. */
  bytes = 0;

  /** Beyond `most` bytes bodies are not kept. */
  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#orders.size;
  }

  /** Also those that come while it is asked. */
  tenants(): Iterable<string> {
    return this.#orders.keys();
  }

  /** Undefined: the file is as it shall be. The same order is the same object. */
  get(tenant: string): Wanted | undefined {
    return this.#orders.get(tenant);
  }

  /** It says all that is to be written: 'same' is that of the one before, whether that has been written or not. */
  add(saved: Saved): void {
    const before = this.#orders.get(saved.tenant);
    const same = saved.manifest === 'same';
    // Without a file there is nothing to add to.
    if (same && before === null) return;
    const manifest = same && before ? before.manifest : saved.manifest;
    // What this one does not bring is what the one before brought, or had.
    const blobs = new Map(manifest === null ? [] : [...(before?.blobs ?? []), ...saved.blobs]);
    if (before && manifest !== null && manifest !== 'same') {
      const named = new Set(manifest.sections.flatMap((section) => section.blobs));
      for (const sha of blobs.keys()) if (!named.has(sha)) blobs.delete(sha);
    }
    const room = this.bytes - sizeOf(before) + sizeOf({ blobs }) <= this.#most;
    this.#set(saved.tenant, { ...saved, manifest, blobs: room ? blobs : new Map() });
  }

  remove(tenant: string): void {
    this.#set(tenant, null);
  }

  /** `order` is carried out, or need not be any more. A newer one stays. */
  done(tenant: string, order: Wanted | undefined): void {
    if (order === undefined || this.#orders.get(tenant) !== order) return;
    this.bytes -= sizeOf(order);
    this.#orders.delete(tenant);
  }

  /** Lets go of the bodies that wait with a tenant's order. */
  strip(tenant: string): void {
    const order = this.#orders.get(tenant);
    if (order) this.#set(tenant, { ...order, blobs: new Map() });
  }

  #set(tenant: string, order: Wanted): void {
    this.bytes += sizeOf(order) - sizeOf(this.#orders.get(tenant));
    this.#orders.set(tenant, order);
  }
}
