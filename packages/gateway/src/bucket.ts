/**
 * A token bucket: `perSecond` tokens flow in, up to what comes in one second (at least one). The rate is told with each
 * call, so that a bucket outlives the release that set it: a new rate changes what flows in, and fills nothing.
 */
export class Bucket {
  /** Below 0 where others have taken more than there was. */
  #tokens: number;
  /** When `#tokens` was right, ms. */
  #at: number;
  #perSecond: number;

  /** A full one. */
  constructor(now: number, perSecond: number) {
    this.#tokens = burst(perSecond);
    this.#at = now;
    this.#perSecond = perSecond;
  }

  /** Takes one: 0. When there is none: ms until there is one, more than 0. */
  take(now: number, perSecond: number): number {
    this.#flow(now, perSecond);
    if (this.#tokens >= 1) {
      this.#tokens--;
      return 0;
    }
    return ((1 - this.#tokens) / perSecond) * 1000;
  }

  /** What others have taken counts as well, also when it is not there. */
  drain(count: number, now: number, perSecond: number): void {
    this.#flow(now, perSecond);
    this.#tokens -= count;
  }

  /** Then it is as good as a new one. */
  isFull(now: number): boolean {
    this.#flow(now, this.#perSecond);
    return this.#tokens >= burst(this.#perSecond);
  }

  #flow(now: number, perSecond: number): void {
    // A wall clock may be set back: nothing flows then, and it goes on from there.
    const ms = Math.max(0, now - this.#at);
    this.#at = now;
    this.#perSecond = perSecond;
    this.#tokens = Math.min(burst(perSecond), this.#tokens + (ms * perSecond) / 1000);
  }
}

const burst = (perSecond: number): number => Math.max(1, perSecond);
