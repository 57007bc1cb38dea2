/**
 * All heads, then every change. The rule that nothing gets lost or comes twice rests on: the next revision to ask for is
 * one behind the last event that was handed on, and nothing else moves it: no timeout, no progress message.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { sha256 } from '../canonical.ts';
import { readHead } from '../codec.ts';
import { Queue } from '../queue.ts';
import type { Head } from '../release.ts';
import type { HeadEvent } from '../store.ts';
import { slices } from '../turns.ts';
import { type EtcdClient, isStaleLogin, isTooLarge, jitter, RevisionGone, TooLarge } from './etcd-client.ts';
import { type KeyValue, methods, type RangeResponse, type WatchResponse } from './etcd-rpc.ts';

/** Heads in one answer of a list. */
const PAGE = 250;
/** Milliseconds between two attempts, first and longest. */
const BACKOFF = { first: 50, most: 2000 };

/** The end of the range of all keys that start with `prefix`, which ends in "/". */
export function rangeEnd(prefix: string): Buffer {
  return Buffer.from(`${prefix.slice(0, -1)}0`);
}

/**
 * All pairs below a prefix as they were at one revision; one that no message can hold comes with an empty value. Throws
 * RevisionGone when that is compacted meanwhile.
 */
export async function listPrefix(client: EtcdClient, prefix: string): Promise<{ revision: number; kvs: KeyValue[] }> {
  const kvs: KeyValue[] = [];
  let key: Buffer = Buffer.from(prefix);
  let revision = 0;
  let limit = PAGE;
  for (;;) {
    const range = { key, range_end: rangeEnd(prefix), ...(revision > 0 && { revision }) };
    let page: RangeResponse;
    try {
      page = await client.call(methods.range, { ...range, limit });
    } catch (error) {
      if (!(error instanceof TooLarge)) throw error;
      if (limit > 1) {
        limit = Math.ceil(limit / 8);
        continue;
      }
      page = await client.call(methods.range, { ...range, limit, keys_only: true });
    }
    revision ||= Number(page.header.revision);
    for (const kv of page.kvs) kvs.push(kv);
    const last = page.kvs.at(-1);
    if (!page.more || !last) return { revision, kvs };
    key = Buffer.concat([last.key, Buffer.from([0])]);
  }
}

export function watchHeads(client: EtcdClient, prefix: string, signal: AbortSignal): AsyncIterable<HeadEvent> {
  const queue = new Queue<HeadEvent>(signal);
  const watcher = new Watcher(client, prefix, queue, signal);
  void watcher.run();
  return queue;
}

class Watcher {
  readonly #client: EtcdClient;
  readonly #prefix: string;
  readonly #queue: Queue<HeadEvent>;
  readonly #signal: AbortSignal;
  /** The first revision that was not handed on yet; 0: list first. */
  #next = 0;
  /**
   * What the store held at #next - 1, to find out whether it still has the same past. Hashes: a value lies in the
   * message it came with, 64 KiB and more, and would keep all of it.
   */
  readonly #held = new Map<string, { revision: string; hash: string }>();
  #endpoint = Math.floor(Math.random() * 1000);
  #backoff = BACKOFF.first;

  constructor(client: EtcdClient, prefix: string, queue: Queue<HeadEvent>, signal: AbortSignal) {
    this.#client = client;
    this.#prefix = prefix;
    this.#queue = queue;
    this.#signal = signal;
  }

  async run(): Promise<void> {
    while (!this.#signal.aborted) {
      try {
        if (this.#next > 0 && !(await this.#samePast())) this.#next = 0;
        if (this.#next === 0) await this.#list();
        await this.#follow();
      } catch {
        // Away, or refused: the same again, later. Who needs to know asks `ping`.
      }
      this.#endpoint++;
      if (this.#signal.aborted) return;
      await wait(jitter(this.#backoff), undefined, { signal: this.#signal, ref: false }).catch(() => {});
      this.#backoff = Math.min(BACKOFF.most, this.#backoff * 2);
    }
  }

  /**
   * Whether the store went on from where we stand. One that was wiped or restored from a backup has another past even
   * when its revision is higher than ours by now: the newest head then is another one, or has another revision.
   */
  async #samePast(): Promise<boolean> {
    let newest: { key: string; revision: string; hash: string } | undefined;
    for (const [key, held] of this.#held) {
      if (!newest || Number(held.revision) > Number(newest.revision)) newest = { key, ...held };
    }
    try {
      const { kvs, count } = await this.#client.call(methods.range, {
        key: Buffer.from(this.#prefix),
        range_end: rangeEnd(this.#prefix),
        revision: this.#next - 1,
        limit: 1,
        sort_target: 'MOD',
        sort_order: 'DESCEND',
      });
      if (Number(count) !== this.#held.size) return false;
      const kv = kvs[0];
      if (!kv || !newest) return !kv && !newest;
      const { key, revision, hash } = newest;
      return kv.key.toString() === key && kv.mod_revision === revision && sha256(kv.value) === hash;
    } catch (error) {
      if (error instanceof RevisionGone || error instanceof TooLarge) return false;
      throw error;
    }
  }

  async #list(): Promise<void> {
    const { revision, kvs } = await listPrefix(this.#client, this.#prefix);
    const heads = new Map<string, Head>();
    const invalid = new Map<string, string>();
    this.#held.clear();
    const breathe = slices();
    for (const kv of kvs) {
      await breathe();
      const tenant = this.#hold(kv);
      const result = readHead(kv.value, tenant);
      if ('head' in result) heads.set(tenant, result.head);
      else invalid.set(tenant, result.reason);
    }
    this.#next = revision + 1;
    this.#queue.push({ type: 'list', heads, invalid });
  }

  /** Resolves when the stream is over, for whatever reason; throws when there was none. */
  async #follow(): Promise<void> {
    const { stream, token, close } = await this.#client.watch(this.#endpoint);
    await new Promise<void>((resolve) => {
      // Until the answer there is no connection that a keepalive could watch over.
      const silent = setTimeout(close, this.#client.deadline);
      const steady = setTimeout(() => {
        this.#backoff = BACKOFF.first;
      }, 5000);
      steady.unref();
      const over = () => {
        clearTimeout(silent);
        clearTimeout(steady);
        this.#signal.removeEventListener('abort', over);
        // Nothing that still comes counts: the next stream starts at #next.
        stream.removeAllListeners('data');
        close();
        resolve();
      };
      const pieces: WatchResponse['events'] = [];
      stream.on('data', (response: WatchResponse) => {
        if (response.canceled) {
          if (Number(response.compact_revision) > 0) this.#next = 0;
          // etcd names no code here.
          else if (isStaleLogin({ details: response.cancel_reason }) || /permission/.test(response.cancel_reason)) {
            this.#client.forgetLogin(token);
          }
          over();
          return;
        }
        clearTimeout(silent);
        for (const event of response.events) pieces.push(event);
        // A revision that is too large for one message comes in several: it counts when it is whole.
        if (response.fragment || pieces.length === 0) return;
        this.#deliver(pieces.splice(0));
        this.#backoff = BACKOFF.first;
      });
      stream.on('error', (error) => {
        if (isStaleLogin(error as { code?: number; details?: string })) this.#client.forgetLogin(token);
        // It would come again and again: a list goes around it.
        if (isTooLarge(error as { code?: number; details?: string })) this.#next = 0;
        over();
      });
      stream.on('end', over);
      this.#signal.addEventListener('abort', over, { once: true });
      if (this.#signal.aborted) over();
      else {
        stream.write({
          create_request: {
            key: Buffer.from(this.#prefix),
            range_end: rangeEnd(this.#prefix),
            start_revision: this.#next,
            progress_notify: true,
            fragment: true,
          },
        });
      }
    });
  }

  #deliver(events: WatchResponse['events']): void {
    const from = this.#next;
    for (const { type, kv } of events) {
      const revision = Number(kv.mod_revision);
      if (revision < from) continue;
      this.#next = Math.max(this.#next, revision + 1);
      if (type === 'DELETE') {
        const key = kv.key.toString();
        this.#held.delete(key);
        this.#queue.push({ type: 'delete', tenant: key.slice(this.#prefix.length) });
        continue;
      }
      const tenant = this.#hold(kv);
      const result = readHead(kv.value, tenant);
      this.#queue.push('head' in result ? { type: 'put', tenant, ...result } : { type: 'invalid', tenant, ...result });
    }
  }

  #hold(kv: KeyValue): string {
    const key = kv.key.toString();
    this.#held.set(key, { revision: kv.mod_revision, hash: sha256(kv.value) });
    return key.slice(this.#prefix.length);
  }
}
