/** The only file that joins two streams. */
import { Progress } from './progress.ts';
import type { ByteStream, StreamReceiver } from './stream.ts';
import { type Wheel, WheelEntry } from './wheel.ts';

export interface RelayOptions {
  readonly wheel: Wheel;
  /** No byte either way for this long ends the relay, ms. */
  readonly idleMs: number;
  /** Bytes moved: a = from the client, b = from the upstream. Called for each read. */
  moved(fromClient: number, fromUpstream: number): void;
  /** Called once, when both streams are gone. `reason` is '' for an orderly end. */
  done(reason: '' | 'idle' | 'client reset' | 'upstream reset'): void;
}

/** How long a stream may take to flush and close once the other one is gone, ms. */
const LINGER_MS = 5000;

/**
 * Bytes both ways between two streams: backpressure each way (a read waits until the write before it has left),
 * half-close passed on as half-close, a reset as a reset, one idle timeout for both.
 */
export class Relay extends WheelEntry {
  readonly #client: ByteStream;
  readonly #upstream: ByteStream;
  readonly #options: RelayOptions;
  #lastActive: number;
  #open = 2;
  #reason: '' | 'idle' | 'client reset' | 'upstream reset' = '';
  #finished = false;
  #progress: Progress | null = null;

  constructor(client: ByteStream, upstream: ByteStream, options: RelayOptions) {
    super();
    this.#client = client;
    this.#upstream = upstream;
    this.#options = options;
    this.#lastActive = options.wheel.tick;
    client.receiver = new Side(this, client, upstream, true);
    upstream.receiver = new Side(this, upstream, client, false);
    options.wheel.arm(this, options.idleMs);
    // Either may have died before this relay was there to hear of it.
    if (client.destroyed) client.receiver.onClose(null);
    if (upstream.destroyed) upstream.receiver.onClose(null);
  }

  /** Ends both now, with a reset. */
  destroy(): void {
    this.#reason ||= 'idle';
    this.#client.reset();
    this.#upstream.reset();
  }

  onTimeout(): void {
    const { wheel, idleMs } = this.#options;
    const idle = (wheel.tick - this.#lastActive) * wheel.tickMs;
    if (this.#open === 2 && idle < idleMs) {
      wheel.arm(this, idleMs - idle);
      return;
    }
    void this.#look();
  }

  /** What waits to be taken may be taken slowly. */
  async #look(): Promise<void> {
    const waiting = [this.#client, this.#upstream].filter((stream) => stream.blocked);
    if (waiting.length > 0) {
      this.#progress ??= new Progress();
      const before = this.#lastActive;
      const made = await this.#progress.made(...waiting);
      if (this.#finished || this.due !== 0) return;
      if (made || this.#lastActive !== before) {
        this.#options.wheel.arm(this, this.#options.idleMs);
        return;
      }
    }
    this.#reason ||= 'idle';
    this.#client.destroy();
    this.#upstream.destroy();
  }

  /** Its sides' own. */
  moved(size: number, client: boolean): void {
    this.#lastActive = this.#options.wheel.tick;
    if (client) this.#options.moved(size, 0);
    else this.#options.moved(0, size);
  }

  /** Its sides' own: what was written to a side has left, `other` may be read again. */
  drained(other: ByteStream): void {
    if (this.#open === 1) this.#options.wheel.arm(this, LINGER_MS);
    else other.resume();
  }

  /** Its sides' own: one stream is gone; `ended` when it had sent its FIN before. */
  closed(error: Error | null, ended: boolean, client: boolean, other: ByteStream): void {
    const { wheel, idleMs } = this.#options;
    this.#open--;
    if (error) {
      this.#reason ||= client ? 'client reset' : 'upstream reset';
      if (!other.destroyed) other.reset();
    } else if (!other.destroyed) {
      if (ended) {
        // RFC 9110 section 9.3.6: deliver what is outstanding, however slowly it is read, then close.
        other.end();
        other.resume();
        wheel.arm(this, other.blocked ? idleMs : LINGER_MS);
      } else other.reset(); // Cut by us.
    }
    if (this.#open > 0 || this.#finished) return;
    this.#finished = true;
    wheel.forget(this);
    this.#options.done(this.#reason);
  }
}

/** What one of the two streams tells. */
class Side implements StreamReceiver {
  readonly #relay: Relay;
  readonly #from: ByteStream;
  readonly #to: ByteStream;
  readonly #client: boolean;
  #ended = false;
  #closed = false;

  constructor(relay: Relay, from: ByteStream, to: ByteStream, client: boolean) {
    this.#relay = relay;
    this.#from = from;
    this.#to = to;
    this.#client = client;
  }

  onData(chunk: Buffer, borrowed: boolean): void {
    this.#relay.moved(chunk.length, this.#client);
    if (!this.#to.write(chunk, borrowed)) this.#from.pause();
  }

  onEnd(): void {
    this.#ended = true;
    this.#to.end();
  }

  onDrain(): void {
    this.#relay.drained(this.#to);
  }

  onClose(error: Error | null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#relay.closed(error, this.#ended, this.#client, this.#to);
  }
}
