// biome-ignore-all lint/complexity/noThisInStatic: Node calls these with the socket as `this`.
import net from 'node:net';
import { BULK_SIZE, giveBack, isPooled, takeBulk, takeFor } from './buffers.ts';
import { type Sender, sendLater } from './outbox.ts';
import { sendQueue } from './send-queue.ts';
import { type Writer, writeNow } from './socket-write.ts';
import type { ByteStream, StreamReceiver } from './stream.ts';

/**
 * Reads land in one buffer that all streams share, so an idle one owns none. It is no larger than what may be left
 * waiting for each slow peer, and takes a head and 64 KiB behind it in one read.
 */
const SHARED = Buffer.allocUnsafeSlow(72 * 1024);
/**
 * A stream whose bytes went on without a wait for so long has a swift peer and reads into a large buffer. The kernel takes
 * up to 4 MiB for a peer that reads nothing: one that was served more than that does read.
 */
const SWIFT = 6 * 1024 * 1024;
/** After a wait a swift peer must take so much in small reads first: most waits are short, and small reads dear. */
const PROBATION = 256 * 1024;
/** A read this small ends the bulk: the buffer goes back. */
const TRICKLE = 8 * 1024;

/** Text beyond this length leaves at once: who writes it should hear soon whether the peer takes it. */
const MAX_PUT_OFF = 16 * 1024;

/** Memory that the write just made goes on reading from: who read into it must take another buffer. */
let kept: ArrayBufferLike | null = null;

/** Options of a server whose sockets are given to `TcpStream.accept`. */
export const acceptOptions = { allowHalfOpen: true, noDelay: true, pauseOnConnect: true } as const;

/** The buffer that Node gets when it asks for the next one. */
let following: Buffer = SHARED;

const STREAM = Symbol('stream');
type Carrier = net.Socket & { [STREAM]: TcpStream };

/** What Node has inside: the bytes given to the handle, and those of them that it has not given to the kernel. */
interface Inside {
  readonly _handle?: { readonly fd: number; readonly writeQueueSize: number } | null;
  readonly _bytesDispatched?: number;
}

/** Receives nothing; in place until an owner is set. A stream that ends or fails while nobody owns it frees itself. */
const nobody: StreamReceiver = {
  onData() {},
  onEnd() {},
  onDrain() {},
  onClose() {},
};

/** A plain TCP socket as a ByteStream. */
export class TcpStream implements ByteStream, Sender, Writer {
  receiver: StreamReceiver = nobody;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly #socket: net.Socket;
  #error: Error | null = null;
  #blocked = false;
  #paused = false;
  #buffer: Buffer = SHARED;
  /** Bytes read since the last wait. */
  #run = 0;
  /** Heads and short bodies that leave at the end of this turn. */
  #putOff = '';
  /** Writes that the kernel has not taken in full. */
  #waiting = 0;
  /** Buffers of the pool that queued bytes are in; null while there are none. */
  #lent: ArrayBufferLike[] | null = null;

  /**
   * An accepted socket, of a server with `acceptOptions`. Its handle moves to a socket that reads
   * into our buffer: a server offers no `onread` of its own, and reading through the stream machinery with a buffer
   * for each read costs a tenth of a request.
   */
  static accept(socket: net.Socket): TcpStream {
    const carrier = socket as unknown as { _handle: object | null };
    const handle = carrier._handle;
    // Reset between accept and now: nothing to read any more.
    if (handle === null) return new TcpStream(socket);
    carrier._handle = null;
    socket.destroy();
    following = SHARED;
    const own = new net.Socket({ handle, allowHalfOpen: true, onread } as net.SocketConstructorOpts);
    const stream = new TcpStream(own);
    own.resume();
    return stream;
  }

  /** Starts a connection; `ready` is called once, with the stream or the error. Cancel with the returned function. */
  static connect(
    options: { host: string; port: number; localAddress?: string | undefined },
    ready: (error: Error | null, stream: TcpStream | null) => void,
  ): () => void {
    following = SHARED;
    const socket = net.connect({
      host: options.host,
      port: options.port,
      ...(options.localAddress ? { localAddress: options.localAddress } : {}),
      noDelay: true,
      allowHalfOpen: true,
      onread,
    });
    const failed = (error: Error) => ready(error, null);
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.removeListener('error', failed);
      ready(null, new TcpStream(socket));
    });
    return () => {
      socket.removeListener('error', failed);
      socket.on('error', () => {});
      socket.destroy();
    };
  }

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    const address = socket.remoteAddress ?? '';
    this.remoteAddress = address.startsWith('::ffff:') ? address.slice(7) : address;
    this.remotePort = socket.remotePort ?? 0;
    (socket as Carrier)[STREAM] = this;
    socket.on('end', TcpStream.#onEnd);
    socket.on('error', TcpStream.#onError);
    socket.on('close', TcpStream.#onClose);
  }

  // Listeners that all sockets share: closures of its own would make up a tenth of an idle tunnel.
  static #onEnd(this: Carrier): void {
    this[STREAM].receiver.onEnd();
  }
  static #onError(this: Carrier, error: Error): void {
    this[STREAM].#error = error;
  }
  static #onClose(this: Carrier): void {
    const stream = this[STREAM];
    stream.#giveBack();
    stream.receiver.onClose(stream.#error);
  }

  /** What Node calls for each read, with the socket as `this`. */
  static read(this: Carrier, size: number): boolean {
    const stream = this[STREAM];
    stream.#read(size);
    following = stream.#buffer;
    return true;
  }

  get destroyed(): boolean {
    return this.#socket.destroyed;
  }

  get blocked(): boolean {
    return this.#blocked;
  }

  async taken(): Promise<number> {
    const socket = this.#socket as net.Socket & Inside;
    const { _handle: handle, _bytesDispatched: handed = 0 } = socket;
    if (!handle) return handed;
    const held = await sendQueue(handle.fd, socket.localAddress?.includes(':') ?? false);
    return (socket._bytesDispatched ?? handed) - (socket._handle?.writeQueueSize ?? 0) - held;
  }

  write(chunk: Uint8Array | string, borrowed = false): boolean {
    if (borrowed) return this.writeBoth('', chunk as Buffer);
    if (typeof chunk === 'string' && !this.#blocked && this.#putOff.length + chunk.length <= MAX_PUT_OFF) {
      if (this.#putOff === '') sendLater(this);
      this.#putOff += chunk;
      return true;
    }
    this.flush();
    return this.#put(chunk);
  }

  flush(): void {
    const text = this.#putOff;
    if (text === '') return;
    this.#putOff = '';
    this.#put(text);
  }

  #put(chunk: Uint8Array | string): boolean {
    if (writeNow(this.#socket, chunk, this)) return true;
    this.#blocked = true;
    this.#waiting++;
    // The kernel did not take it all: the rest is read from that memory until it has left.
    if (typeof chunk === 'string') return false;
    if (chunk.buffer === SHARED.buffer) throw new Error('a borrowed chunk was written without being copied');
    if (isPooled(chunk.buffer) && this.#lent?.at(-1) !== chunk.buffer) {
      kept = chunk.buffer;
      if (this.#lent === null) this.#lent = [chunk.buffer];
      else this.#lent.push(chunk.buffer);
    }
    return false;
  }

  writeBoth(head: string, body: Buffer): boolean {
    const size = head.length + body.length;
    const copy = takeFor(size);
    if (head !== '') copy.write(head, 0, head.length, 'latin1');
    copy.set(body, head.length);
    const flushed = this.write(size === copy.length ? copy : copy.subarray(0, size));
    // What did not leave at once is still being read from it; it comes back when it has.
    if (flushed) giveBack(copy);
    return flushed;
  }

  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#socket.resume();
  }

  end(): void {
    this.flush();
    this.#socket.end();
  }

  destroy(): void {
    this.flush();
    this.#socket.destroy();
  }

  reset(): void {
    this.flush();
    const socket = this.#socket;
    // While a FIN is on its way libuv refuses to reset (EINVAL), and Node then never closes the descriptor.
    if (socket.writableEnded && !socket.writableFinished) socket.destroy();
    else socket.resetAndDestroy();
  }

  /** The writer's own: one write that waited is over. */
  written(): void {
    if (--this.#waiting > 0) return;
    this.#blocked = false;
    if (this.#lent !== null) for (const memory of this.#lent) giveBack(Buffer.from(memory as ArrayBuffer));
    this.#lent = null;
    this.receiver.onDrain();
  }

  #read(size: number): void {
    const buffer = this.#buffer;
    const chunk = size === buffer.length ? buffer : buffer.subarray(0, size);
    kept = null;
    this.receiver.onData(chunk, buffer === SHARED);
    // While it waits it needs no other: what made it wait may last.
    if (kept === buffer.buffer) this.#buffer = SHARED;
    if (this.#paused) {
      this.#run = this.#run >= SWIFT ? SWIFT - PROBATION : 0;
      return;
    }
    if (this.#run < SWIFT) this.#run += size;
    if (size < TRICKLE) this.#giveBack();
    else if (size === buffer.length) this.#grow(size);
  }

  /** A read that fills its buffer is bulk: the next one goes to a buffer of the stream's own, which needs no copy. */
  #grow(size: number): void {
    if (this.#run >= SWIFT && size < BULK_SIZE) {
      this.#giveBack();
      this.#buffer = takeBulk();
    } else if (this.#buffer === SHARED) this.#buffer = takeFor(size);
  }

  /** Only when nothing is being written from it any more. */
  #giveBack(): void {
    if (this.#buffer === SHARED) return;
    if (!this.#socket.destroyed) giveBack(this.#buffer);
    this.#buffer = SHARED;
  }
}

/** Node asks for the next buffer when a socket is made and right after each read. */
const onread = {
  buffer: (): Buffer => {
    const buffer = following;
    following = SHARED;
    return buffer;
  },
  callback: TcpStream.read as (size: number) => boolean,
};
