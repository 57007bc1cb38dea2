/** One at a time, first come first served. */
export class Mutex {
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Nobody runs and nobody waits. */
  get idle(): boolean {
    return this.#waiting === 0;
  }

  run<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting++;
    const result = this.#tail.then(work).finally(() => this.#waiting--);
    this.#tail = result.catch(() => {});
    return result;
  }
}

/** A mutex per key, forgotten when idle. */
export class Mutexes {
  readonly #all = new Map<string, Mutex>();

  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    let mutex = this.#all.get(key);
    if (!mutex) {
      mutex = new Mutex();
      this.#all.set(key, mutex);
    }
    try {
      return await mutex.run(work);
    } finally {
      if (mutex.idle) this.#all.delete(key);
    }
  }
}
