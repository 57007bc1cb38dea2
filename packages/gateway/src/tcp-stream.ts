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
  #buffer: Buffer = SHARED;
  /** Buffers of the pool that queued bytes are in. */
  readonly #lent: ArrayBufferLike[] = [];

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
    let stream: TcpStream | undefined;
    const own = new net.Socket({
      handle,
      allowHalfOpen: true,
      onread: {
        buffer: () => (stream === undefined ? SHARED : stream.#nextBuffer()),
        callback: (size: number) => stream!.#read(size),
      },
    } as net.SocketConstructorOpts);
    stream = new TcpStream(own);
    own.resume();
    return stream;
  }

  /** Starts a connection; `ready` is called once, with the stream or the error. Cancel with the returned function. */
  static connect(
    options: { host: string; port: number; localAddress?: string | undefined },
    ready: (error: Error | null, stream: TcpStream | null) => void,
  ): () => void {
    let stream: TcpStream;
    const socket = net.connect({
      host: options.host,
      port: options.port,
      ...(options.localAddress ? { localAddress: options.localAddress } : {}),
      noDelay: true,
      allowHalfOpen: true,
      onread: {
        buffer: () => (stream ? stream.#nextBuffer() : SHARED),
        callback: (size: number) => stream.#read(size),
      },
    });
    const failed = (error: Error) => ready(error, null);
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.removeListener('error', failed);
      stream = new TcpStream(socket);
      ready(null, stream);
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
    socket.on('end', () => this.receiver.onEnd());
    socket.on('drain', () => this.#drained());
    socket.on('error', (error) => {
      this.#error = error;
    });
    socket.on('close', () => {
      this.#giveBack();
      this.receiver.onClose(this.#error);
    });
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
    if (typeof chunk !== 'string' && chunk.buffer.byteLength === SIZE && this.#lent.at(-1) !== chunk.buffer) {
      if (chunk.buffer === SHARED.buffer) throw new Error('a borrowed chunk was written without being copied');
      kept = chunk.buffer;
      this.#lent.push(chunk.buffer);
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
    this.#socket.pause();
  }

  resume(): void {
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
    for (const memory of this.#lent.splice(0)) giveSpare(Buffer.from(memory as ArrayBuffer));
    this.receiver.onDrain();
  }

  #read(size: number): boolean {
    const buffer = this.#buffer;
    const chunk = size === buffer.length ? buffer : buffer.subarray(0, size);
    kept = null;
    this.receiver.onData(chunk, buffer === SHARED);
    if (kept === buffer.buffer) this.#buffer = size >= BULK ? takeSpare() : SHARED;
    else if (size >= BULK) {
      if (buffer === SHARED) this.#buffer = takeSpare();
    } else if (size < TRICKLE) this.#giveBack();
    return true;
  }

  #nextBuffer(): Buffer {
    return this.#buffer;
  }

  /** Only when nothing is being written from it any more. */
  #giveBack(): void {
    if (this.#buffer === SHARED) return;
    if (!this.#socket.destroyed) giveSpare(this.#buffer);
    this.#buffer = SHARED;
  }
}
