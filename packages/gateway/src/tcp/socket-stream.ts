import net from 'node:net';
import { latin1 } from '../bytes.ts';
import { type ByteStream, nobody, plainAddress, type StreamReceiver } from '../stream.ts';
import { sendQueue } from './send-queue.ts';
import type { ConnectOptions } from './tcp.ts';

const EMPTY = Buffer.alloc(0);

/** A TCP socket as a ByteStream by nothing but what Node documents: for a Node that has no handles to offer. */
export class SocketStream implements ByteStream {
  receiver: StreamReceiver = nobody;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly #socket: net.Socket;
  #error: Error | null = null;
  #waiting = 0;
  #paused = false;

  static connect(options: ConnectOptions, ready: (error: Error | null, stream: ByteStream | null) => void): () => void {
    const { host, port, localAddress } = options;
    const bind = localAddress === undefined ? {} : { localAddress };
    const socket = net.connect({ host, port, ...bind, noDelay: true, allowHalfOpen: true });
    const failed = (error: Error) => ready(error, null);
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.removeListener('error', failed);
      ready(null, new SocketStream(socket));
    });
    return () => {
      socket.removeListener('error', failed);
      socket.on('error', () => {});
      socket.destroy();
    };
  }

  /** An open socket with `allowHalfOpen`. */
  constructor(socket: net.Socket) {
    this.#socket = socket;
    this.remoteAddress = plainAddress(socket.remoteAddress ?? '');
    this.remotePort = socket.remotePort ?? 0;
    socket.on('data', (chunk) => this.receiver.onData(chunk, false));
    socket.on('end', () => this.receiver.onEnd());
    socket.on('error', (error) => {
      this.#error = error;
    });
    socket.on('close', () => this.receiver.onClose(this.#error));
    socket.resume();
  }

  get destroyed(): boolean {
    return this.#socket.destroyed;
  }

  get blocked(): boolean {
    return this.#waiting > 0;
  }

  async taken(): Promise<number> {
    const socket = this.#socket;
    const handed = socket.bytesWritten - socket.writableLength;
    const { _handle: handle } = socket as unknown as { _handle: { fd?: number } | null };
    if (typeof handle?.fd !== 'number') return handed;
    return handed - (await sendQueue(handle.fd, socket.localAddress?.includes(':') ?? false));
  }

  write(chunk: Uint8Array | string): boolean {
    const socket = this.#socket;
    if (socket.destroyed) return true;
    if (typeof chunk === 'string') socket.write(chunk, 'latin1');
    else socket.write(chunk);
    if (socket.writableLength === 0) return true;
    this.#waiting++;
    // Node says 'drain' only above its own mark; an empty write with a callback tells in every case.
    socket.write(EMPTY, (error) => {
      if (!error && --this.#waiting === 0) this.receiver.onDrain();
    });
    return false;
  }

  writeBoth(head: string, body: Buffer): boolean {
    return this.write(head + latin1(body));
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
}
