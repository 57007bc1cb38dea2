import { GatewayError } from '../errors.ts';
import type { Services } from '../services.ts';

/** Slow hashes that run at once in a process: half of libuv's four threads, the rest is for names and files. */
const RUNNING = 2;
/** Logins of one group that may wait for their turn. */
const WAITING = 64;

/**
 * Turns for slow hashes. Groups take turns too, so that a flood of wrong passwords against one tenant delays only
 * its own logins.
 */
export class HashLimiter {
  readonly #waiting = new Map<object, (() => void)[]>();
  #running = 0;

  /** Runs `job` when it is its turn; fails with GatewayError unavailable when too many of `group` wait already. */
  async run<T>(group: object, job: () => Promise<T>): Promise<T> {
    if (this.#running >= RUNNING) await this.#turn(group);
    else this.#running++;
    try {
      return await job();
    } finally {
      this.#next();
    }
  }

  #turn(group: object): Promise<void> {
    const queue = this.#waiting.get(group) ?? [];
    if (queue.length >= WAITING) throw new GatewayError('unavailable', 'too many logins wait to be checked');
    if (queue.length === 0) this.#waiting.set(group, queue);
    return new Promise((resolve) => queue.push(resolve));
  }

  /** The slot goes to the group that has waited longest since it had one. */
  #next(): void {
    for (const [group, queue] of this.#waiting) {
      const start = queue.shift()!;
      this.#waiting.delete(group);
      if (queue.length > 0) this.#waiting.set(group, queue);
      start();
      return;
    }
    this.#running--;
  }
}

const limiters = new WeakMap<Services, HashLimiter>();

/** The one limiter of a process: it lives and dies with the services that the process made. */
export function limiterOf(services: Services): HashLimiter {
  let limiter = limiters.get(services);
  if (!limiter) {
    limiter = new HashLimiter();
    limiters.set(services, limiter);
  }
  return limiter;
}
