/**
 * Sessions that count against a limit per second, told between the processes of a worker. Nobody waits: each process
 * takes from its own bucket, and soon from those of the others what it has let through; the process in front only
 * passes it on. So all together let through too many only of what comes between two tellings, and that is missing
 * afterwards.
 */
import type { Taken } from '@arcus/gateway/limits.ts';

/** Between two tellings, ms. */
const TELL_MS = 50;
/** Most buckets in one telling; the others wait for the next. */
const MOST = 2000;

export class Takes {
  readonly #tell: (taken: readonly Taken[]) => void;
  readonly #taken = new Map<string, Taken>();
  #timer: NodeJS.Timeout | undefined;
  #last = 0;

  constructor(tell: (taken: readonly Taken[]) => void) {
    this.#tell = tell;
  }

  took(tenant: string, user: string, perSecond: number): void {
    const key = `${tenant}\0${user}`;
    const count = (this.#taken.get(key)?.[2] ?? 0) + 1;
    this.#taken.set(key, [tenant, user, count, perSecond]);
    this.#soon();
  }

  /** Tells what is left. */
  close(): void {
    while (this.#taken.size > 0) this.#flush();
    clearTimeout(this.#timer);
  }

  #soon(): void {
    if (this.#timer !== undefined) return;
    const pause = this.#last + TELL_MS - performance.now();
    this.#timer = setTimeout(() => this.#flush(), Math.max(0, pause));
    this.#timer.unref();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#last = performance.now();
    const taken: Taken[] = [];
    for (const [key, take] of this.#taken) {
      taken.push(take);
      this.#taken.delete(key);
      if (taken.length === MOST) break;
    }
    if (this.#taken.size > 0) this.#soon();
    this.#tell(taken);
  }
}
