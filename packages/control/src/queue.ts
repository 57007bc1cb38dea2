/** Values from one side, an async iterator on the other; nothing is dropped. Ends by `signal`, without an error. */
export class Queue<T> implements AsyncIterable<T> {
  #items: T[] = [];
  #next = 0;
  #wake: (() => void) | undefined;
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wake?.(), { once: true });
  }

  push(item: T): void {
    this.#items.push(item);
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    while (!this.#signal.aborted) {
      if (this.#next < this.#items.length) {
        const item = this.#items[this.#next++]!;
        // Shifting one by one would cost the length of the queue each time.
        if (this.#next === this.#items.length) {
          this.#items = [];
          this.#next = 0;
        }
        yield item;
        continue;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
