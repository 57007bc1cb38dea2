import { setTimeout as wait } from 'node:timers/promises';

/** Since its first task came, a gate that begins narrow is all open at the latest, ms: that one may take for ever. */
const NARROW_MS = 100;

/**
 * A gate lets `width` tasks through at once; the others wait in order of arrival. It may begin narrower, `first`, and
 * open by one with each task that ends: the first ones run code that is not compiled yet, and many of them at once would
 * hold the event loop.
 */
export class Gate {
  readonly #width: number;
  #open: number;
  readonly #waiting: (() => void)[] = [];
  #inside = 0;

  constructor(width: number, first = width) {
    this.#width = width;
    this.#open = first;
  }

  /** With `patience` a task that takes longer, ms, goes on beside the next one: it shall not hold up who is quick. */
  async run<T>(task: () => Promise<T>, patience?: number): Promise<T> {
    if (this.#inside === 0 && this.#open < this.#width) this.#openSoon();
    if (this.#inside < this.#open) this.#inside++;
    else await new Promise<void>((enter) => this.#waiting.push(enter));
    let left = false;
    const leave = () => {
      if (left) return;
      left = true;
      this.#inside--;
      if (this.#open < this.#width) this.#open++;
      this.#enter();
    };
    const timer = patience === undefined ? undefined : setTimeout(leave, patience);
    try {
      return await task();
    } finally {
      clearTimeout(timer);
      leave();
    }
  }

  /** Places are handed on, not given back: a newcomer cannot overtake. */
  #enter(): void {
    for (; this.#inside < this.#open && this.#waiting.length > 0; this.#inside++) this.#waiting.shift()!();
  }

  #openSoon(): void {
    const timer = setTimeout(() => {
      this.#open = this.#width;
      this.#enter();
    }, NARROW_MS);
    timer.unref();
  }
}

/** Wait before the next try: doubles from `first` to `most` ms, with jitter so that a fleet does not come back in step. */
export function backoff(attempt: number, first = 250, most = 30_000): number {
  return Math.min(most, first * 2 ** Math.min(attempt, 20)) * (0.5 + Math.random() / 2);
}

/** So often `patiently` looks at least. */
const LOOKS = 20;

/**
 * Until `done`, for `ms` at most; but so many looks it takes in any case. A process that stood still is late at once,
 * and what it waited for is there and only needs its turn.
 */
export async function patiently(done: () => boolean, ms: number): Promise<void> {
  const end = performance.now() + ms;
  for (let looks = 0; !done() && (looks < LOOKS || performance.now() < end); looks++) await wait(5);
}

/** A promise and its resolver. */
export function latch(): { readonly promise: Promise<void>; open(): void } {
  let open = () => {};
  const promise = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { promise, open: () => open() };
}
