/** A worker's record and statuses under one lease of etcd: all of them go when the worker does. */
import { encode } from '../codec.ts';
import type { keys } from '../keys.ts';
import type { TenantStatus, WorkerRecord } from '../release.ts';
import { statusText } from '../status.ts';
import { StoreUnavailable, type WorkerLease } from '../store.ts';
import { type EtcdClient, LeaseGone, RequestRefused, TooLarge } from './etcd-client.ts';
import { methods, type RequestOp } from './etcd-rpc.ts';

/** One transaction: etcd takes 128 operations and 1.5 MiB, unless it was told to take less. */
const BATCH = { operations: 100, bytes: 512 * 1024 };

/** Something to be said; no tenant: the record. No body: it is taken back. */
interface Word {
  readonly tenant: string | null;
  readonly body: string | undefined;
}

export class EtcdLease implements WorkerLease {
  readonly #client: EtcdClient;
  readonly #keys: ReturnType<typeof keys>;
  readonly #ttl: number;
  readonly #timer: NodeJS.Timeout;
  #record: WorkerRecord;
  readonly #statuses = new Map<string, string>();
  /** Undefined: none, or lost. */
  #lease: string | undefined;
  #beatDue = false;
  #recordDirty = true;
  readonly #dirty = new Set<string>();
  /** Tenants whose status etcd did not take: it is not tried again. */
  readonly #refused = new Set<string>();
  readonly #tellRefused: (tenant: string, reason: string) => void;
  /** The highest revision seen: a lower one later means a store that was restored and knows less. */
  #revision = 0;
  #closed = false;
  /** One write after the other, so that the newest wins; all that wait share the next turn. */
  #running: Promise<void> = Promise.resolve();
  #waiting: Promise<void> | undefined;

  private constructor(
    client: EtcdClient,
    where: ReturnType<typeof keys>,
    record: WorkerRecord,
    ttlSeconds: number,
    refused: (tenant: string, reason: string) => void,
  ) {
    this.#client = client;
    this.#keys = where;
    this.#record = record;
    this.#ttl = ttlSeconds;
    this.#tellRefused = refused;
    const beat = () => {
      this.#beatDue = true;
      this.#turn().catch(() => {});
    };
    this.#timer = setInterval(beat, (ttlSeconds * 1000) / 3);
    this.#timer.unref();
  }

  /** Resolves after the first attempt, whether it worked or not: it goes on by itself. */
  static async open(
    client: EtcdClient,
    where: ReturnType<typeof keys>,
    record: WorkerRecord,
    ttlSeconds: number,
    refused: (tenant: string, reason: string) => void = () => {},
  ): Promise<EtcdLease> {
    const lease = new EtcdLease(client, where, record, ttlSeconds, refused);
    await lease.#turn().catch(() => {});
    return lease;
  }

  update(record: WorkerRecord): Promise<void> {
    this.#record = record;
    this.#recordDirty = true;
    return this.#turn();
  }

  report(statuses: ReadonlyMap<string, TenantStatus | null>): Promise<void> {
    let changed = false;
    for (const [tenant, status] of statuses) {
      const body = status ? statusText(status) : undefined;
      if (this.#statuses.get(tenant) === body && !this.#dirty.has(tenant)) continue;
      if (body === undefined) this.#statuses.delete(tenant);
      else this.#statuses.set(tenant, body);
      this.#refused.delete(tenant);
      this.#dirty.add(tenant);
      changed = true;
    }
    return changed ? this.#turn() : Promise.resolve();
  }

  async close(last?: WorkerRecord): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#running;
    const lease = this.#lease;
    if (lease === undefined) return;
    try {
      if (last) await this.#sayLast(last, lease);
      else await this.#client.call(methods.revoke, { ID: lease });
    } catch (error) {
      // Then the time runs out by itself.
      if (!(error instanceof StoreUnavailable)) throw error;
    }
  }

  /** Only over our own record: a newer process of the same name may be there already. */
  async #sayLast(last: WorkerRecord, lease: string): Promise<void> {
    const key = Buffer.from(this.#keys.worker(last.id));
    await this.#client.call(methods.txn, {
      compare: [{ result: 'EQUAL', target: 'LEASE', key, lease }],
      success: [{ request_put: { key, value: Buffer.from(encode(last)), lease } }],
    });
  }

  #turn(): Promise<void> {
    this.#waiting ??= this.#running.then(() => {
      this.#waiting = undefined;
      const turn = this.#work();
      this.#running = turn.catch(() => {});
      return turn;
    });
    return this.#waiting;
  }

  async #work(): Promise<void> {
    if (this.#closed) return;
    if (this.#beatDue && this.#lease !== undefined) await this.#beat(this.#lease);
    try {
      await this.#say();
    } catch (error) {
      if (!(error instanceof LeaseGone)) throw error;
      this.#lease = undefined;
      await this.#say();
    }
  }

  async #beat(lease: string): Promise<void> {
    const { TTL, header } = await this.#client.keepAlive(lease);
    this.#beatDue = false;
    if (Number(TTL) <= 0) this.#lease = undefined;
    else if (Number(header.revision) < this.#revision) this.#sayAllAgain();
    this.#revision = Number(header.revision);
  }

  #sayAllAgain(): void {
    this.#recordDirty = true;
    for (const tenant of this.#statuses.keys()) if (!this.#refused.has(tenant)) this.#dirty.add(tenant);
  }

  async #say(): Promise<void> {
    if (this.#lease === undefined) {
      const { ID, error } = await this.#client.call(methods.grant, { TTL: Math.max(1, Math.ceil(this.#ttl)) });
      if (error) throw new StoreUnavailable(`etcd: ${error}`);
      this.#lease = ID;
      this.#sayAllAgain();
    }
    const lease = this.#lease;
    const record = this.#record;
    const words: Word[] = this.#recordDirty ? [{ tenant: null, body: encode(record) }] : [];
    for (const tenant of this.#dirty) words.push({ tenant, body: this.#statuses.get(tenant) });
    let fault: Error | undefined;
    for (const batch of batches(words)) {
      const refused = await this.#put(batch, lease, record);
      fault ??= refused;
    }
    if (fault) throw fault;
  }

  /** Says all of these, or all but what etcd does not take. Gives the fault when that is the record. */
  async #put(words: readonly Word[], lease: string, record: WorkerRecord): Promise<Error | undefined> {
    try {
      const { header } = await this.#client.call(methods.txn, {
        success: words.map((word) => this.#operation(word, lease)),
      });
      this.#revision = Math.max(this.#revision, Number(header.revision));
    } catch (error) {
      if (!(error instanceof RequestRefused || error instanceof TooLarge)) throw error;
      if (words.length > 1) {
        // One of them: the others must not wait for it.
        const half = words.length >> 1;
        const fault = await this.#put(words.slice(0, half), lease, record);
        return (await this.#put(words.slice(half), lease, record)) ?? fault;
      }
      const { tenant, body } = words[0]!;
      if (tenant === null) return error;
      if (this.#statuses.get(tenant) === body) this.#refused.add(tenant);
      this.#tellRefused(tenant, error.message);
    }
    for (const { tenant, body } of words) {
      // What was said anew meanwhile stays to be said.
      if (tenant === null) this.#recordDirty = this.#record !== record;
      else if (this.#statuses.get(tenant) === body) this.#dirty.delete(tenant);
    }
    return undefined;
  }

  #operation({ tenant, body }: Word, lease: string): RequestOp {
    const id = this.#record.id;
    const key = Buffer.from(tenant === null ? this.#keys.worker(id) : this.#keys.status(id, tenant));
    if (body === undefined) return { request_delete_range: { key } };
    return { request_put: { key, value: Buffer.from(body), lease } };
  }
}

function* batches(words: readonly Word[]): Generator<Word[]> {
  let batch: Word[] = [];
  let bytes = 0;
  for (const word of words) {
    // 256: its key, and what the message needs.
    const size = Buffer.byteLength(word.body ?? '') + 256;
    if (batch.length === BATCH.operations || (batch.length > 0 && bytes + size > BATCH.bytes)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(word);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}
