import { ChunkedScanner } from '@arcus/protocol/http1/chunked.ts';
import type { Fields } from '@arcus/protocol/http1/fields.ts';
import type { Framing } from '@arcus/protocol/http1/response.ts';

/** Finds where a body ends in the bytes that come: RFC 9112 section 6. Its bytes are looked at, never changed. */
export class BodyReader {
  /** All of it has come. A body that ends with its connection is never done. */
  done = false;
  #left: number;
  readonly #chunks: ChunkedScanner | null;

  constructor(framing: Framing, head: Fields) {
    this.#chunks = framing === 'chunked' ? new ChunkedScanner(head.named) : null;
    this.#left = framing === 'length' ? head.contentLength : Number.MAX_SAFE_INTEGER;
  }

  /**
   * Where the part of `chunk` that belongs to the body ends, read from `from`; -1 when the framing is broken.
   * `onContent` gets each range of content of a chunked body.
   */
  take(chunk: Buffer, from: number, onContent?: (from: number, to: number) => void): number {
    const chunks = this.#chunks;
    if (chunks !== null) {
      const stop = chunks.scan(chunk, from, onContent);
      this.done = chunks.done;
      return stop;
    }
    const stop = Math.min(chunk.length, from + this.#left);
    this.#left -= stop - from;
    this.done = this.#left === 0;
    return stop;
  }

  /** Why -1. */
  get fault(): string {
    return `body: ${this.#chunks?.fault ?? ''}`;
  }
}
