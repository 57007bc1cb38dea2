/**
 * All heads, then every change. The rule that nothing gets lost or comes twice rests on: the next revision to ask for is
 * one behind the last event that was handed on, and nothing else moves it: no timeout, no progress message.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { sha256 } from '../canonical.ts';
import { MOST_HEAD, readHead } from '../codec.ts';
import { TENANT_ID } from '../keys.ts';
import { Queue } from '../queue.ts';
import type { Head } from '../release.ts';
import type { HeadEvent } from '../store.ts';
import { slices } from '../turns.ts';
import { type EtcdClient, isStaleLogin, isTooLarge, jitter, RevisionGone, TooLarge } from './etcd-client.ts';
import { pageSize, pagesOf, rangeEnd } from './etcd-pages.ts';
import { type KeyValue, methods, type WatchResponse } from './etcd-rpc.ts';

/** Milliseconds between two attempts, first and longest. */
const BACKOFF = { first: 50, most: 2000 };

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
  readonly #pages = pageSize();
  /**
   * What the store held at #next - 1, by `nameOf` its key, to find out whether it still has the same past. Hashes: a
   * value lies in the message it came with, 64 KiB and more, and would keep all of it.
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
    let newest: { name: string; revision: string; hash: string } | undefined;
    for (const [name, held] of this.#held) {
      if (!newest || Number(held.revision) > Number(newest.revision)) newest = { name, ...held };
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
      const { name, revision, hash } = newest;
      return this.#nameOf(kv.key) === name && kv.mod_revision === revision && hashOf(kv.value) === hash;
    } catch (error) {
      if (error instanceof RevisionGone || error instanceof TooLarge) return false;
      throw error;
    }
  }

  async #list(): Promise<void> {
    const heads = new Map<string, Head>();
    const invalid = new Map<string, string>();
    this.#held.clear();
    const breathe = slices();
    let at = 0;
    for await (const { revision, kvs, large } of pagesOf(this.#client, this.#prefix, this.#pages)) {
      at = revision;
      for (const kv of kvs) {
        await breathe();
        const tenant = this.#hold(kv);
        if (tenant === null) continue;
        const result = readHead(large ? null : kv.value, tenant);
        if ('head' in result) heads.set(tenant, result.head);
        else invalid.set(tenant, result.reason);
      }
    }
    this.#next = at + 1;
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
        const name = this.#nameOf(kv.key);
        this.#held.delete(name);
        if (TENANT_ID.test(name)) this.#queue.push({ type: 'delete', tenant: name });
        continue;
      }
      const tenant = this.#hold(kv);
      if (tenant === null) continue;
      const result = readHead(kv.value, tenant);
      this.#queue.push('head' in result ? { type: 'put', tenant, ...result } : { type: 'invalid', tenant, ...result });
    }
  }

  /** The tenant, or null when somebody put there what is no head of ours. */
  #hold(kv: KeyValue): string | null {
    const name = this.#nameOf(kv.key);
    this.#held.set(name, { revision: kv.mod_revision, hash: hashOf(kv.value) });
    return TENANT_ID.test(name) ? name : null;
  }

  /** The tenant whose head lies at a key; of any other key, which may be anything, a short name that is no tenant's. */
  #nameOf(key: Buffer): string {
    const name = key.toString('latin1', Buffer.byteLength(this.#prefix));
    return TENANT_ID.test(name) ? name : `/${sha256(key)}`;
  }
}

/** Of what is too large to be a head its size will do. */
function hashOf(value: Buffer): string {
  return value.length > MOST_HEAD ? `${value.length} bytes` : sha256(value);
}
