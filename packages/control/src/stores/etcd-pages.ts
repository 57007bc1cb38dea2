/** All pairs below a prefix, page by page: whoever takes one lets go of it before the next one comes. */

import { PageSize } from '../page-size.ts';
import { StoreRefused, StoreUnavailable } from '../store.ts';
import { type EtcdClient, RevisionGone, TooLarge } from './etcd-client.ts';
import { type KeyValue, methods, type RangeResponse } from './etcd-rpc.ts';

/** Pairs in one answer of a list. The first ones are few: ten of the largest heads fit a message. */
export const pageSize = () => new PageSize(10, 250);

export interface Page {
  /** That of the first page, and so of all. */
  readonly revision: number;
  readonly kvs: readonly KeyValue[];
  /** A single pair that no message can hold: its value is empty. */
  readonly large: boolean;
}

/** The end of the range of all keys that start with `prefix`, which ends in "/". */
export function rangeEnd(prefix: string): Buffer {
  return Buffer.from(`${prefix.slice(0, -1)}0`);
}

/**
 * All pairs as they were at one revision. Throws RevisionGone when that is compacted meanwhile. With a `size` of the
 * caller's a page that does not come is asked for again, smaller, and the next list begins with what was learned.
 */
export async function* pagesOf(client: EtcdClient, prefix: string, size?: PageSize): AsyncGenerator<Page, void> {
  const pages = size ?? pageSize();
  pages.restart();
  let key: Buffer = Buffer.from(prefix);
  let revision = 0;
  for (;;) {
    const range = { key, range_end: rangeEnd(prefix), ...(revision > 0 && { revision }) };
    const { limit } = pages;
    let page: RangeResponse;
    let large = false;
    try {
      page = await client.call(methods.range, { ...range, limit });
    } catch (error) {
      const final =
        !(error instanceof StoreUnavailable) || error instanceof RevisionGone || error instanceof StoreRefused;
      if (final) throw error;
      const smaller = pages.failed();
      if (error instanceof TooLarge) {
        if (smaller) continue;
        page = await client.call(methods.range, { ...range, limit, keys_only: true });
        large = true;
      } else {
        // The first one: more likely the store is away.
        if (smaller && size && revision > 0) continue;
        throw error;
      }
    }
    revision ||= Number(page.header.revision);
    const { kvs, more } = page;
    const last = kvs.at(-1);
    if (!large) pages.came(kvs.reduce((sum, kv) => sum + kv.value.length, 0));
    yield { revision, kvs, large };
    if (!more || !last) return;
    key = Buffer.concat([last.key, Buffer.from([0])]);
  }
}
