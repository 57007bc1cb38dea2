// biome-ignore-all lint/complexity/noThisInStatic: Node calls these with the socket as `this`.
import net from 'node:net';
import type { ByteStream, StreamReceiver } from './stream.ts';

/**
 * Reads land in one buffer that all streams share, so an idle one owns none. A stream that moves bulk data gets a
 * buffer of its own until it slows down again.
 */
const SIZE = 256 * 1024;
const SHARED = Buffer.allocUnsafeSlow(SIZE);
/** A read this large is bulk: the next one goes to a buffer of the stream's own, which needs no copy. */
const BULK = 96 * 1024;
/** A read this small ends the bulk: the buffer goes back. */
const TRICKLE = 8 * 1024;
/** Buffers that nobody uses now: for bulk reads, and for copies that leave in one write. */
const spare: Buffer[] = [];
const MAX_SPARE = 16;
const takeSpare = () => spare.pop() ?? Buffer.allocUnsafeSlow(SIZE);
const giveSpare = (buffer: Buffer) => {
  if (spare.length < MAX_SPARE) spare.push(buffer);
};

/** Memory that the write just made goes on reading from: who read into it must take another buffer. */
let kept: ArrayBufferLike | null = null;

const EMPTY = Buffer.alloc(0);

/** Options of a server whose sockets are given to `TcpStream.accept`. */
export const acceptOptions = { allowHalfOpen: true, noDelay: true, pauseOnConnect: true } as const;

/** The buffer that Node gets when it asks for the next one. */
let following: Buffer = SHARED;

const STREAM = Symbol('stream');
type Carrier = net.Socket & { [STREAM]: TcpStream };

/** Receives nothing; in place until an owner is set. A stream that ends or fails while nobody owns it frees itself. */
const nobody: StreamReceiver = {
  onData() {},
  onEnd() {},
  onDrain() {},
  onClose() {},
};

/** A plain TCP socket as a ByteStream. */
export class TcpStream implements ByteStream {
  receiver: StreamReceiver = nobody;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly #socket: net.Socket;
  #error: Error | null = null;
  #blocked = false;
  #paused = false;
  #buffer: Buffer = SHARED;
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
    socket.on('drain', TcpStream.#onDrain);
    socket.on('error', TcpStream.#onError);
    socket.on('close', TcpStream.#onClose);
  }

  // Listeners that all sockets share: closures of its own would make up a tenth of an idle tunnel.
  static #onEnd(this: Carrier): void {
    this[STREAM].receiver.onEnd();
  }
  static #onDrain(this: Carrier): void {
    this[STREAM].#drained();
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

  write(chunk: Uint8Array | string, borrowed = false): boolean {
    if (borrowed) return this.writeBoth('', chunk as Buffer);
    const socket = this.#socket;
    const room = typeof chunk === 'string' ? socket.write(chunk, 'latin1') : socket.write(chunk);
    if (socket.writableLength === 0) return true;
    // The kernel did not take it all: the rest is read from that memory until it has left.
    if (typeof chunk !== 'string' && chunk.buffer.byteLength === SIZE && this.#lent?.at(-1) !== chunk.buffer) {
      if (chunk.buffer === SHARED.buffer) throw new Error('a borrowed chunk was written without being copied');
      kept = chunk.buffer;
      if (this.#lent === null) this.#lent = [chunk.buffer];
      else this.#lent.push(chunk.buffer);
    }
    if (!this.#blocked) {
      this.#blocked = true;
      // Node says 'drain' only above its own mark; an empty write with a callback tells in every case.
      if (room) socket.write(EMPTY, () => this.#drained());
    }
    return false;
  }

  writeBoth(head: string, body: Buffer): boolean {
    const size = head.length + body.length;
    const copy = size <= SIZE ? takeSpare() : Buffer.allocUnsafeSlow(size);
    if (head !== '') copy.write(head, 0, head.length, 'latin1');
    copy.set(body, head.length);
    const flushed = this.write(copy.subarray(0, size));
    // What did not leave at once is still being read from it; it comes back when it has.
    if (flushed && size <= SIZE) giveSpare(copy);
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
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  reset(): void {
    const socket = this.#socket;
    // While a FIN is on its way libuv refuses to reset (EINVAL), and Node then never closes the descriptor.
    if (socket.writableEnded && !socket.writableFinished) socket.destroy();
    else socket.resetAndDestroy();
  }

  #drained(): void {
    if (!this.#blocked || this.#socket.writableLength > 0) return;
    this.#blocked = false;
    if (this.#lent !== null) for (const memory of this.#lent) giveSpare(Buffer.from(memory as ArrayBuffer));
    this.#lent = null;
    this.receiver.onDrain();
  }

  #read(size: number): void {
    const buffer = this.#buffer;
    const chunk = size === buffer.length ? buffer : buffer.subarray(0, size);
    kept = null;
    this.receiver.onData(chunk, buffer === SHARED);
    if (kept === buffer.buffer) this.#buffer = size >= BULK ? takeSpare() : SHARED;
    else if (size >= BULK) {
      if (buffer === SHARED) this.#buffer = takeSpare();
    } else if (size < TRICKLE) this.#giveBack();
  }

  /** Only when nothing is being written from it any more. */
  #giveBack(): void {
    if (this.#buffer === SHARED) return;
    if (!this.#socket.destroyed) giveSpare(this.#buffer);
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
