import type { ByteStream, StreamReceiver } from '../stream.ts';

/**
 * A stream of which the first bytes were read already: they are given to the first receiver, before all that comes
 * later. Needed when a next proxy sends tunnel bytes together with its answer to CONNECT.
 */
export class PrefixedStream implements ByteStream {
  readonly #inner: ByteStream;
  #first: Buffer | null;
  #receiver: StreamReceiver | null = null;
  #paused = false;
  #ended = false;

  constructor(inner: ByteStream, first: Buffer) {
    this.#inner = inner;
    this.#first = first;
    // Nothing may overtake the first bytes.
    inner.pause();
    inner.receiver = {
      onData() {},
      onEnd: () => {
        this.#ended = true;
      },
      onDrain: () => this.#receiver?.onDrain(),
      onClose: (error) => this.#receiver?.onClose(error),
    };
  }

  get receiver(): StreamReceiver {
    return this.#receiver ?? this.#inner.receiver;
  }

  set receiver(receiver: StreamReceiver) {
    this.#receiver = receiver;
    if (this.#first === null) this.#inner.receiver = receiver;
    else queueMicrotask(() => this.#deliver());
  }

  #deliver(): void {
    const first = this.#first;
    const receiver = this.#receiver;
    if (first === null || receiver === null || this.#paused || this.#inner.destroyed) return;
    this.#first = null;
    this.#inner.receiver = receiver;
    receiver.onData(first, false);
    if (this.#ended) receiver.onEnd();
    if (!this.#paused) this.#inner.resume();
  }

  pause(): void {
    this.#paused = true;
    this.#inner.pause();
  }

  resume(): void {
    this.#paused = false;
    if (this.#first === null) this.#inner.resume();
    else queueMicrotask(() => this.#deliver());
  }

  get remoteAddress(): string {
    return this.#inner.remoteAddress;
  }
  get remotePort(): number {
    return this.#inner.remotePort;
  }
  get destroyed(): boolean {
    return this.#inner.destroyed;
  }
  get blocked(): boolean {
    return this.#inner.blocked;
  }
  taken(): Promise<number> {
    return this.#inner.taken();
  }
  write(chunk: Uint8Array | string, borrowed?: boolean): boolean {
    return this.#inner.write(chunk, borrowed);
  }
  writeBoth(head: string, body: Buffer): boolean {
    return this.#inner.writeBoth(head, body);
  }
  end(): void {
    this.#inner.end();
  }
  destroy(): void {
    this.#inner.destroy();
  }
  reset(): void {
    this.#inner.reset();
  }
}
