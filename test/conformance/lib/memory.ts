import type { ByteStream, StreamReceiver } from '@arcus/gateway/stream.ts';

/** Bytes that are lent: whatever is kept of them without a copy becomes visible as garbage. */
const lent = Buffer.alloc(256 * 1024);

const nobody: StreamReceiver = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };

/** A stream without a socket. What its owner writes lands in `written`; `feed` is what its peer sends. */
export class MemoryStream implements ByteStream {
  receiver: StreamReceiver = nobody;
  readonly remoteAddress: string;
  readonly remotePort = 1;
  destroyed = false;
  written = '';
  state: 'kept' | 'closed' | 'reset' = 'kept';
  /** Called after each write and at the end. */
  onActivity: () => void = () => {};
  readonly #incoming: (Buffer | 'fin' | Error)[] = [];
  #paused = false;
  #delivering = false;
  #peerEnded = false;
  #closed = false;

  constructor(remoteAddress: string) {
    this.remoteAddress = remoteAddress;
  }

  feed(bytes: string): void {
    this.#incoming.push(Buffer.from(bytes, 'latin1'));
    this.deliver();
  }

  feedEnd(how: 'fin' | 'reset'): void {
    this.#incoming.push(how === 'fin' ? 'fin' : Object.assign(new Error('reset'), { code: 'ECONNRESET' }));
    this.deliver();
  }

  deliver(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    try {
      while (!this.#paused && !this.destroyed) {
        const next = this.#incoming.shift();
        if (next === undefined) break;
        if (next instanceof Error) this.#close(next);
        else if (next === 'fin') {
          this.#peerEnded = true;
          this.receiver.onEnd();
          if (this.state === 'closed') this.#close(null);
        } else {
          next.copy(lent);
          this.receiver.onData(lent.subarray(0, next.length), true);
          lent.fill(0xee, 0, next.length);
        }
      }
    } finally {
      this.#delivering = false;
    }
  }

  write(chunk: Uint8Array | string): boolean {
    if (this.destroyed || this.state !== 'kept') return true;
    this.written += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('latin1');
    this.onActivity();
    return true;
  }

  writeBoth(head: string, body: Buffer): boolean {
    return this.write(head + body.toString('latin1'));
  }

  get blocked(): boolean {
    return false;
  }

  async taken(): Promise<number> {
    return this.written.length;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    // As with a socket: what waits comes later, not inside this call.
    queueMicrotask(() => this.deliver());
  }

  end(): void {
    if (this.destroyed || this.state !== 'kept') return;
    this.state = 'closed';
    this.onActivity();
    if (this.#peerEnded) this.#close(null);
  }

  destroy(): void {
    if (this.state === 'kept') this.state = 'closed';
    this.#close(null);
  }

  reset(): void {
    if (!this.destroyed) this.state = 'reset';
    this.#close(null);
  }

  #close(error: Error | null): void {
    this.destroyed = true;
    if (this.#closed) return;
    this.#closed = true;
    queueMicrotask(() => {
      this.receiver.onClose(error);
      this.onActivity();
    });
  }
}
