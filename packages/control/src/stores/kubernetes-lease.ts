/**
 * A worker's record and statuses as Lease objects: workers need no right to write a ConfigMap, where releases lie. The
 * record is one Lease, renewed; statuses lie in a bounded number of others that name the same holder and belong to the
 * first, so that Kubernetes removes them with it.
 */
import { randomBytes } from 'node:crypto';
import { encode } from '../codec.ts';
import type { TenantStatus, WorkerRecord } from '../release.ts';
import { statusText, statusTexts } from '../status.ts';
import { StoreUnavailable, type WorkerLease } from '../store.ts';
import { type Answer, faultOf, type KubernetesClient, parse } from './kubernetes-client.ts';
import { Lease, labelsOf, RECORD, STATUSES, shardOf, statusName, workerName } from './kubernetes-names.ts';

/** An object's annotations hold 256 KiB. */
const MOST_STATUSES = 200 * 1024;
/** Shards that are written at once. */
const AT_ONCE = 8;

/** Writes of one Lease, when somebody else writes it, too. */
const ATTEMPTS = 10;

interface Content {
  metadata: object;
  spec: object;
}

interface Written {
  uid: string;
  resourceVersion: string;
}

export class KubernetesLease implements WorkerLease {
  readonly #client: KubernetesClient;
  readonly #path: string;
  readonly #now: () => Promise<number>;
  readonly #holder = randomBytes(8).toString('hex');
  readonly #seconds: number;
  readonly #timer: NodeJS.Timeout;
  #record: WorkerRecord;
  /** Shard -> tenant -> status, as text. */
  readonly #statuses = new Map<string, Map<string, string>>();
  readonly #written = new Map<string, Written>();
  #beatDue = true;
  readonly #dirty = new Set<string>();
  #closed = false;
  /** One write after the other, so that the newest wins; all that wait share the next turn. */
  #running: Promise<void> = Promise.resolve();
  #waiting: Promise<void> | undefined;

  private constructor(
    client: KubernetesClient,
    path: string,
    now: () => Promise<number>,
    record: WorkerRecord,
    ttlSeconds: number,
  ) {
    this.#client = client;
    this.#path = path;
    this.#now = now;
    this.#record = record;
    this.#seconds = Math.max(1, Math.ceil(ttlSeconds));
    const beat = () => {
      this.#beatDue = true;
      this.#turn().catch(() => {});
    };
    this.#timer = setInterval(beat, (ttlSeconds * 1000) / 3);
    this.#timer.unref();
  }

  /** `path` is that of the Leases. Resolves after the first attempt, whether it worked or not: it goes on by itself. */
  static async open(
    client: KubernetesClient,
    path: string,
    now: () => Promise<number>,
    record: WorkerRecord,
    ttlSeconds: number,
  ): Promise<KubernetesLease> {
    const lease = new KubernetesLease(client, path, now, record, ttlSeconds);
    await lease.#turn().catch(() => {});
    return lease;
  }

  update(record: WorkerRecord): Promise<void> {
    this.#record = record;
    this.#beatDue = true;
    return this.#turn();
  }

  report(statuses: ReadonlyMap<string, TenantStatus | null>): Promise<void> {
    let changed = false;
    for (const [tenant, status] of statuses) {
      const shard = shardOf(tenant);
      const shelf = this.#statuses.get(shard) ?? new Map<string, string>();
      const text = status ? statusText(status) : undefined;
      if (shelf.get(tenant) === text && !this.#dirty.has(shard)) continue;
      this.#statuses.set(shard, shelf);
      if (text === undefined) shelf.delete(tenant);
      else shelf.set(tenant, text);
      this.#dirty.add(shard);
      changed = true;
    }
    return changed ? this.#turn() : Promise.resolve();
  }

  async close(last?: WorkerRecord): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#running;
    try {
      await this.#end(last);
    } catch (error) {
      // Then the time runs out by itself.
      if (!(error instanceof StoreUnavailable)) throw error;
    }
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
    if (this.#beatDue) await this.#beat();
    const shards = [...this.#dirty].values();
    const writers = Array.from({ length: AT_ONCE }, async () => {
      for (const shard of shards) await this.#say(shard);
    });
    // All of them end before the next turn may begin.
    const failed = (await Promise.allSettled(writers)).find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }

  async #beat(): Promise<void> {
    const record = this.#record;
    const before = this.#written.get(workerName(record.id));
    const untouched = await this.#write(workerName(record.id), () => this.#leaseOf(record));
    if (this.#record === record) this.#beatDue = false;
    // Gone, restored, or taken by another process meanwhile: nothing of what was said can be relied on.
    if (!before || !untouched) for (const shard of this.#statuses.keys()) this.#dirty.add(shard);
  }

  async #leaseOf(record: WorkerRecord): Promise<Content> {
    return {
      metadata: { name: workerName(record.id), labels: labelsOf('worker'), annotations: { [RECORD]: encode(record) } },
      spec: {
        holderIdentity: this.#holder,
        leaseDurationSeconds: this.#seconds,
        renewTime: microTime(await this.#now()),
      },
    };
  }

  async #say(shard: string): Promise<void> {
    const id = this.#record.id;
    const owner = this.#written.get(workerName(id));
    if (!owner) throw new StoreUnavailable(`the record of ${id} could not be written`);
    this.#dirty.delete(shard);
    const name = statusName(shard, id);
    try {
      await this.#write(name, async () => ({
        metadata: {
          name,
          labels: { ...labelsOf('status'), 'arcus/shard': shard },
          annotations: { [STATUSES]: statusTexts(this.#statuses.get(shard) ?? new Map(), MOST_STATUSES) },
          ownerReferences: [
            { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', name: workerName(id), uid: owner.uid },
          ],
        },
        spec: { holderIdentity: this.#holder },
      }));
    } catch (error) {
      this.#dirty.add(shard);
      throw error;
    }
  }

  /**
   * Makes or replaces a Lease, whoever wrote it last: the newest process of a name wins. Gives false when it was not
   * as we had left it. A Lease can't be replaced without saying which version (as a ConfigMap could).
   */
  async #write(name: string, content: () => Promise<Content>): Promise<boolean> {
    let untouched = true;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const known = this.#written.get(name);
      const answer = known
        ? await this.#put(name, await content(), known)
        : await this.#client.call('POST', this.#path, { body: lease(await content()) });
      if (answer.status === 200 || answer.status === 201) {
        this.#written.set(name, parse(Lease, answer.body, name).metadata);
        return untouched;
      }
      // 404 to a POST: there is no such namespace.
      if (!known && answer.status === 404) throw faultOf(answer.status, answer.body);
      untouched = false;
      await this.#look(name);
    }
    throw new StoreUnavailable(`kubernetes: ${name} is written by somebody else all the time`);
  }

  /** Replaces what we know. With its uid: a PUT of a Lease that is gone would make a new one, and nobody would notice. */
  #put(name: string, { metadata, spec }: Content, { uid, resourceVersion }: Written): Promise<Answer> {
    const body = lease({ metadata: { ...metadata, uid, resourceVersion }, spec });
    return this.#client.call('PUT', `${this.#path}/${name}`, { body });
  }

  async #look(name: string): Promise<Lease | null> {
    const { status, body } = await this.#client.call('GET', `${this.#path}/${name}`);
    if (status === 404) {
      this.#written.delete(name);
      return null;
    }
    if (status !== 200) throw faultOf(status, body);
    const lease = parse(Lease, body, name);
    this.#written.set(name, lease.metadata);
    return lease;
  }

  /** Says the last word, or removes the Lease: unless a newer process of the same name lives there now. */
  async #end(last: WorkerRecord | undefined): Promise<void> {
    const name = workerName(this.#record.id);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const known = this.#written.get(name);
      if (!known) return;
      const { uid, resourceVersion } = known;
      const { status } = last
        ? await this.#put(name, await this.#leaseOf(last), known)
        : await this.#client.call('DELETE', `${this.#path}/${name}`, {
            body: { preconditions: { uid, resourceVersion } },
          });
      if (status !== 409) return;
      // Somebody else's by now, or gone, or our own write whose answer got lost.
      const there = await this.#look(name);
      if (there?.spec?.holderIdentity !== this.#holder) return;
    }
  }
}

function lease(content: Content): object {
  return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', ...content };
}

/** RFC 3339 with six digits of a second, as Kubernetes' MicroTime wants it. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}
