/** Who has work under way, and who waits until there is less of it, or none of what there was. */
export class Crowd<T> {
  readonly #most: number;
  #busy = 0;
  readonly #outside: (() => void)[] = [];
  readonly #waiters = new Set<{ waiting: Set<T>; done: () => void }>();

  /** `most`: so many at once leave no room. */
  constructor(most: number) {
    this.#most = most;
  }

  begin(): void {
    this.#busy++;
  }

  end(): void {
    this.#busy--;
    if (this.#busy < this.#most) this.#outside.shift()?.();
  }

  /** To be awaited by who brings more work; undefined when there is room. One comes in for each that ends. */
  room(): Promise<void> | undefined {
    if (this.#busy < this.#most) return undefined;
    return new Promise((enter) => this.#outside.push(enter));
  }

  /** Resolves when each of them had its turn. */
  settled(waiting: Set<T>): Promise<void> {
    if (waiting.size === 0) return Promise.resolve();
    return new Promise((done) => this.#waiters.add({ waiting, done }));
  }

  hadItsTurn(one: T): void {
    for (const waiter of this.#waiters) {
      if (!waiter.waiting.delete(one) || waiter.waiting.size > 0) continue;
      this.#waiters.delete(waiter);
      waiter.done();
    }
  }

  /** Nobody waits any longer. */
  close(): void {
    for (const waiter of this.#waiters) waiter.done();
    for (const enter of this.#outside.splice(0)) enter();
  }
}
