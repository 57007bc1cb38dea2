/** Values by key. What is asked for while other calls are under way shares the next one: a call costs more than a key. */
import { StoreUnavailable } from '../store.ts';
import type { EtcdClient } from './etcd-client.ts';
import { type KeyValue, methods } from './etcd-rpc.ts';

/** Keys that are read with one call: 32 of the largest blobs fill a message. */
const KEYS = 32;
/** While two calls are under way, what is asked for is gathered. */
const CALLS = 2;

interface Wanted {
  readonly key: Buffer;
  resolve(found: KeyValue | null): void;
  reject(error: unknown): void;
}

export class EtcdReader {
  readonly #client: EtcdClient;
  readonly #waiting: Wanted[] = [];
  #calls = 0;

  constructor(client: EtcdClient) {
    this.#client = client;
  }

  get(key: Buffer): Promise<KeyValue | null> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ key, resolve, reject });
      // All that is asked for in the same breath comes first.
      if (this.#waiting.length === 1) queueMicrotask(() => this.#next());
    });
  }

  #next(): void {
    while (this.#calls < CALLS && this.#waiting.length > 0) {
      this.#calls++;
      void this.#read(this.#waiting.splice(0, KEYS)).finally(() => {
        this.#calls--;
        this.#next();
      });
    }
  }

  /** Never fails; who asked is told. */
  async #read(wanted: readonly Wanted[]): Promise<void> {
    try {
      const found = await this.#range(wanted);
      for (const [i, { resolve }] of wanted.entries()) resolve(found[i] ?? null);
    } catch (error) {
      // Too much for one answer, or for the time of one call on a slow line.
      if (wanted.length > 1 && error instanceof StoreUnavailable) for (const one of wanted) await this.#read([one]);
      else for (const { reject } of wanted) reject(error);
    }
  }

  async #range(wanted: readonly Wanted[]): Promise<(KeyValue | undefined)[]> {
    const [first, ...more] = wanted;
    if (more.length === 0) return (await this.#client.call(methods.range, { key: first!.key })).kvs.slice(0, 1);
    const { responses } = await this.#client.call(methods.txn, {
      success: wanted.map(({ key }) => ({ request_range: { key } })),
    });
    return wanted.map((_, i) => responses[i]?.response_range?.kvs[0]);
  }
}
