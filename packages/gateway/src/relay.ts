/** The only file that joins two streams. */
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

  constructor(client: ByteStream, upstream: ByteStream, options: RelayOptions) {
    super();
    this.#client = client;
    this.#upstream = upstream;
    this.#options = options;
    this.#lastActive = options.wheel.tick;
    client.receiver = this.#side(client, upstream, true);
    upstream.receiver = this.#side(upstream, client, false);
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
    this.#reason ||= 'idle';
    this.#client.destroy();
    this.#upstream.destroy();
  }

  #side(from: ByteStream, to: ByteStream, client: boolean): StreamReceiver {
    const options = this.#options;
    let ended = false;
    let closed = false;
    return {
      onData: (chunk, borrowed) => {
        this.#lastActive = options.wheel.tick;
        const size = chunk.length;
        if (client) options.moved(size, 0);
        else options.moved(0, size);
        if (!to.write(chunk, borrowed)) from.pause();
      },
      onEnd: () => {
        ended = true;
        to.end();
      },
      // What was written to this side has left: the other may be read again.
      onDrain: () => {
        if (this.#open === 1) options.wheel.arm(this, LINGER_MS);
        else to.resume();
      },
      onClose: (error) => {
        if (closed) return;
        closed = true;
        this.#open--;
        if (error) {
          this.#reason ||= client ? 'client reset' : 'upstream reset';
          if (!to.destroyed) to.reset();
        } else if (!to.destroyed) {
          if (ended) {
            // RFC 9110 section 9.3.6: deliver what is outstanding, however slowly it is read, then close.
            to.end();
            to.resume();
            options.wheel.arm(this, to.blocked ? options.idleMs : LINGER_MS);
          } else to.reset(); // Cut by us.
        }
        if (this.#open === 0 && !this.#finished) {
          this.#finished = true;
          options.wheel.forget(this);
          options.done(this.#reason);
        }
      },
    };
  }
}
