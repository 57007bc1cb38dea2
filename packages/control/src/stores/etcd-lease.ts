/** A worker's record and statuses under one lease of etcd: all of them go when the worker does. */
import { encode } from '../codec.ts';
import type { keys } from '../keys.ts';
import type { TenantStatus, WorkerRecord } from '../release.ts';
import { StoreUnavailable, type WorkerLease } from '../store.ts';
import { type EtcdClient, LeaseGone } from './etcd-client.ts';
import { methods, type RequestOp } from './etcd-rpc.ts';

/** etcd takes 128 operations in one transaction. */
const BATCH = 100;

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
  /** The highest revision seen: a lower one later means a store that was restored and knows less. */
  #revision = 0;
  #closed = false;
  /** One write after the other, so that the newest wins; all that wait share the next turn. */
  #running: Promise<void> = Promise.resolve();
  #waiting: Promise<void> | undefined;

  private constructor(client: EtcdClient, where: ReturnType<typeof keys>, record: WorkerRecord, ttlSeconds: number) {
    this.#client = client;
    this.#keys = where;
    this.#record = record;
    this.#ttl = ttlSeconds;
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
  ): Promise<EtcdLease> {
    const lease = new EtcdLease(client, where, record, ttlSeconds);
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
      const body = status ? encode(status) : undefined;
      if (this.#statuses.get(tenant) === body && !this.#dirty.has(tenant)) continue;
      if (body === undefined) this.#statuses.delete(tenant);
      else this.#statuses.set(tenant, body);
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
    for (const tenant of this.#statuses.keys()) this.#dirty.add(tenant);
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
    const id = record.id;
    const said: [string, string | undefined][] = [...this.#dirty].map((tenant) => [tenant, this.#statuses.get(tenant)]);
    const withRecord = this.#recordDirty;
    for (let from = 0; from < said.length || (from === 0 && withRecord); from += BATCH) {
      const batch = said.slice(from, from + BATCH);
      const ops = batch.map(([tenant, body]): RequestOp => {
        const key = Buffer.from(this.#keys.status(id, tenant));
        if (body === undefined) return { request_delete_range: { key } };
        return { request_put: { key, value: Buffer.from(body), lease } };
      });
      if (from === 0 && withRecord) {
        const value = Buffer.from(encode(record));
        ops.push({ request_put: { key: Buffer.from(this.#keys.worker(id)), value, lease } });
      }
      const { header } = await this.#client.call(methods.txn, { success: ops });
      this.#revision = Math.max(this.#revision, Number(header.revision));
      if (from === 0 && this.#record === record) this.#recordDirty = false;
      // What was said anew meanwhile stays to be said.
      for (const [tenant, body] of batch) if (this.#statuses.get(tenant) === body) this.#dirty.delete(tenant);
    }
  }
}
