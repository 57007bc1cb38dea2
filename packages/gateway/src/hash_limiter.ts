import { GatewayError } from './errors.ts';

/** Slow hashes that run at once in a process: half of libuv's four threads, the rest is for names and files. */
export const HASHES = 2;

/** Who wants a slow hash: a part (a user group, a write to the API) of a tenant. */
export interface Turn {
  readonly tenant: string;
  readonly part: object;
  /** How many of the part may wait; absent: any number. */
  readonly most?: number;
}

/** What a tenant has in here; nobody who has nothing. */
interface Share {
  running: number;
  /** Who waits, by part; a part whose turn it was goes to the end. */
  readonly waiting: Map<object, (() => void)[]>;
}

/**
 * Turns for slow hashes. A slot goes to a tenant that holds none before one that does, and among those to the one that
 * has waited longest since it had one; within a tenant its parts take turns. So a flood of wrong passwords against one
 * tenant, with hashes as slow as may be, delays a login of another by one hash at most, however many wait before it.
 */
export class HashLimiter {
  /** Those whose last hash ended come last. */
  readonly #shares = new Map<string, Share>();
  readonly #width: number;
  #running = 0;

  constructor(width = HASHES) {
    this.#width = width;
  }

  /** Runs `job` when it is its turn; fails with GatewayError unavailable when too many of the part wait already. */
  async run<T>({ tenant, part, most = Infinity }: Turn, job: () => Promise<T>): Promise<T> {
    let share = this.#shares.get(tenant);
    const queue = share?.waiting.get(part) ?? [];
    // Nobody waits while a slot is free.
    const free = this.#running < this.#width;
    if (!free && queue.length >= most) throw new GatewayError('unavailable', 'too many logins wait to be checked');
    if (!share) {
      share = { running: 0, waiting: new Map() };
      this.#shares.set(tenant, share);
    }
    if (free) this.#start(share);
    else {
      share.waiting.set(part, queue);
      await new Promise<void>((resolve) => queue.push(resolve));
    }
    try {
      return await job();
    } finally {
      this.#running--;
      share.running--;
      this.#shares.delete(tenant);
      if (share.running > 0 || share.waiting.size > 0) this.#shares.set(tenant, share);
      this.#next();
    }
  }

  #start(share: Share): void {
    this.#running++;
    share.running++;
  }

  #next(): void {
    let share: Share | undefined;
    for (const other of this.#shares.values()) {
      if (other.waiting.size > 0 && (!share || other.running < share.running)) share = other;
    }
    if (!share) return;
    const [part, queue] = share.waiting.entries().next().value!;
    const start = queue.shift()!;
    share.waiting.delete(part);
    if (queue.length > 0) share.waiting.set(part, queue);
    this.#start(share);
    start();
  }
}

/** The threads are the process's, so their limiter is too: where API and worker are one process, they share it. */
export const hashLimiter = new HashLimiter();
