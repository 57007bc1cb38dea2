// biome-ignore-all lint/complexity/noThisInStatic: Node calls these with the handle as `this`.
import { getSystemErrorName } from 'node:util';
import { type ByteStream, nobody, plainAddress, type StreamReceiver } from '../stream.ts';
import { drop, giveBack, isPooled, takeFor, takeLarger } from './buffers.ts';
import {
  type AddressOf,
  type ConnectRequest,
  internals,
  type ShutdownRequest,
  type TcpHandle,
  type WriteRequest,
} from './internals.ts';
import { type Sender, sendLater } from './outbox.ts';
import { sendQueue } from './send-queue.ts';
import type { ConnectOptions } from './tcp.ts';

/**
 * Reads land in one buffer that all streams share, so an idle one owns none. It is no larger than what may be left
 * waiting for each slow peer, and takes a head and 64 KiB behind it in one read.
 */
const SHARED = Buffer.allocUnsafeSlow(72 * 1024);
/**
 * A stream whose bytes went on for so long without a long wait has a swift peer and reads into a large buffer. The kernel
 * takes up to 4 MiB for a peer that reads nothing: one that was served more than that does read.
 */
const SWIFT = 6 * 1024 * 1024;
/** A peer that takes longer for what waits is slow, until it has been swift again, ms. */
const SLOW_MS = 50;
/** A read this small, or such a part of its buffer, ends the bulk: the buffer goes back. */
const TRICKLE = 8 * 1024;
const TRICKLE_PART = 1 / 32;
/**
 * A swift stream that was read for so long without a word in between is a bulk transfer: when a read does not fill half of its
 * buffer the next one waits a moment, so that more comes at once and peers are woken less often. The first
 * MiB of an answer is never late by it.
 */
const MONOLOGUE = 1024 * 1024;
const REST_MS = 1;
/** Text beyond this length leaves at once: who writes it should hear soon whether the peer takes it. */
const MAX_PUT_OFF = 16 * 1024;

/** Memory that the write just made goes on reading from: who read into it must take another buffer. */
let kept: ArrayBufferLike | null = null;

// Only used where there are some: see tcp.ts.
const { newHandle, TCPConnectWrap, WriteWrap, ShutdownWrap, streamBaseState, kReadBytesOrError, kLastWriteWasAsync } =
  internals ?? ({} as NonNullable<typeof internals>);
/** End of file, as libuv has it. */
const EOF = -4095;

const STREAM = Symbol('stream');
type Carrier = TcpHandle & { [STREAM]: HandleStream };
type Ready = (error: Error | null, stream: ByteStream | null) => void;

/** Used again as long as writes are over at once. */
let spare: WriteRequest | null = null;

let resting: HandleStream[] = [];
function wakeAll(): void {
  const all = resting;
  resting = [];
  for (const stream of all) stream.wake();
}

/** A TCP socket as a ByteStream, by its handle alone. */
export class HandleStream implements ByteStream, Sender {
  receiver: StreamReceiver = nobody;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Null once it is closed. */
  #handle: TcpHandle | null;
  #error: Error | null = null;
  #blocked = false;
  #paused = false;
  /** The peer has sent its FIN. */
  #finGot = false;
  /** Ours is asked for; and has left. */
  #finSent = false;
  #finDone = false;
  #buffer: Buffer = SHARED;
  /** Bytes read since the last long wait. */
  #run = 0;
  /** When it was paused last. */
  #since = 0;
  /** Bytes read since the last write. */
  #monologue = 0;
  /** The next read waits for more to come. */
  #resting = false;
  /** Heads and short bodies that leave at the end of this turn. */
  #putOff = '';
  /** Writes that the kernel has not taken in full. */
  #waiting = 0;
  /** Buffers of the pool that queued bytes are in; null while there are none. */
  #lent: ArrayBufferLike[] | null = null;

  /** What a listening socket has accepted. */
  static accept(handle: TcpHandle): HandleStream {
    // It stays empty where the peer has reset the connection meanwhile.
    const peer: AddressOf = {};
    handle.getpeername(peer);
    return new HandleStream(handle, peer.address ?? '', peer.port ?? 0);
  }

  static connect({ host, port, localAddress }: ConnectOptions, ready: Ready): () => void {
    const handle = newHandle();
    const ipv6 = host.includes(':');
    let syscall = 'bind';
    let failed = 0;
    if (localAddress !== undefined) failed = ipv6 ? handle.bind6(localAddress, 0, 0) : handle.bind(localAddress, 0);
    let waiting: Ready | null = ready;
    const done = (status: number) => {
      if (waiting === null) return;
      waiting = null;
      if (status === 0) ready(null, new HandleStream(handle, host, port));
      else {
        handle.close();
        ready(HandleStream.error(syscall, status, syscall === 'bind' ? localAddress! : `${host}:${port}`), null);
      }
    };
    if (failed === 0) {
      syscall = 'connect';
      const request: ConnectRequest = new TCPConnectWrap();
      request.oncomplete = done;
      failed = ipv6 ? handle.connect6(request, host, port) : handle.connect(request, host, port);
    }
    if (failed !== 0) process.nextTick(done, failed);
    return () => {
      if (waiting === null) return;
      waiting = null;
      handle.close();
    };
  }

  /** As Node has it: `code`, `errno` and `syscall`. */
  static error(syscall: string, number: number, where = ''): NodeJS.ErrnoException {
    const code = getSystemErrorName(number);
    return Object.assign(new Error(`${syscall} ${code}${where && ` ${where}`}`), { code, errno: number, syscall });
  }

  private constructor(handle: TcpHandle, address: string, port: number) {
    this.#handle = handle;
    this.remoteAddress = plainAddress(address);
    this.remotePort = port;
    (handle as Carrier)[STREAM] = this;
    handle.onread = HandleStream.#onRead;
    handle.useUserBuffer(SHARED);
    handle.setNoDelay(true);
    handle.readStart();
  }

  // What Node calls, the same for all: closures of its own would make up a tenth of an idle tunnel.
  static #onRead(this: Carrier): Uint8Array | undefined {
    const size = streamBaseState[kReadBytesOrError]!;
    const stream = this[STREAM];
    if (size > 0) return stream.#read(size);
    if (size === EOF) stream.#ended();
    else if (size < 0) stream.#close(HandleStream.error('read', size));
    return undefined;
  }
  static #onWritten(this: WriteRequest, status: number): void {
    const stream = this.stream as HandleStream;
    if (status === 0) stream.#written();
    // Where it is closed the write was given up.
    else stream.#close(HandleStream.error('write', status));
  }
  static #onShutdown(this: ShutdownRequest): void {
    const stream = this.stream as HandleStream;
    stream.#finDone = true;
    if (stream.#finGot) stream.#close(null);
  }
  static #onClose(this: Carrier): void {
    const stream = this[STREAM];
    stream.#drop();
    stream.receiver.onClose(stream.#error);
  }

  get destroyed(): boolean {
    return this.#handle === null;
  }

  get blocked(): boolean {
    return this.#blocked;
  }

  async taken(): Promise<number> {
    const handle = this.#handle;
    if (handle === null) return 0;
    const here: AddressOf = {};
    handle.getsockname(here);
    const held = await sendQueue(handle.fd, here.address?.includes(':') ?? false);
    // Closed meanwhile: nothing moves any more.
    return this.#handle === null ? 0 : handle.bytesWritten - handle.writeQueueSize - held;
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

  flush(): void {
    const text = this.#putOff;
    if (text === '') return;
    this.#putOff = '';
    this.#put(text);
  }

  /** Gives it to the kernel, at least to the queue of what it does not take yet. */
  #put(chunk: Uint8Array | string): boolean {
    const handle = this.#handle;
    if (handle === null || this.#finSent) return true;
    this.#monologue = 0;
    const request = spare ?? new WriteWrap();
    spare = request;
    const failed =
      typeof chunk === 'string' ? handle.writeLatin1String(request, chunk) : handle.writeBuffer(request, chunk);
    if (failed !== 0) {
      this.#close(HandleStream.error('write', failed));
      return true;
    }
    if (streamBaseState[kLastWriteWasAsync] === 0) return true;
    spare = null;
    request.oncomplete = HandleStream.#onWritten;
    request.stream = this;
    request.chunk = chunk;
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

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#since = performance.now();
    if (!this.#resting) this.#handle?.readStop();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (performance.now() - this.#since > SLOW_MS) this.#run = 0;
    if (!this.#finGot && !this.#resting) this.#handle?.readStart();
  }

  /** A rest is over. */
  wake(): void {
    this.#resting = false;
    if (!this.#finGot && !this.#paused) this.#handle?.readStart();
  }

  end(): void {
    this.flush();
    const handle = this.#handle;
    if (handle === null || this.#finSent) return;
    this.#finSent = true;
    // The peer says nothing more and the kernel has all: closing sends the FIN, too.
    if (this.#finGot && this.#waiting === 0) {
      this.#close(null);
      return;
    }
    const request: ShutdownRequest = new ShutdownWrap();
    request.oncomplete = HandleStream.#onShutdown;
    request.stream = this;
    if (handle.shutdown(request) === 0) return;
    // A peer that is gone is told nothing.
    this.#finDone = true;
    if (this.#finGot) this.#close(null);
  }

  destroy(): void {
    this.flush();
    this.#close(null);
  }

  reset(): void {
    this.flush();
    const handle = this.#handle;
    if (handle === null) return;
    this.#handle = null;
    // While a FIN is on its way libuv refuses to reset (EINVAL), and Node then never closes the descriptor.
    if (this.#finSent && !this.#finDone) handle.close(HandleStream.#onClose);
    else handle.reset(HandleStream.#onClose);
  }

  #close(error: Error | null): void {
    const handle = this.#handle;
    if (handle === null) return;
    this.#handle = null;
    this.#error = error;
    this.#putOff = '';
    handle.close(HandleStream.#onClose);
  }

  #ended(): void {
    this.#finGot = true;
    this.#giveBack();
    this.receiver.onEnd();
    if (this.#finDone) this.#close(null);
  }

  #written(): void {
    if (--this.#waiting > 0) return;
    this.#blocked = false;
    if (this.#lent !== null) for (const memory of this.#lent) giveBack(Buffer.from(memory as ArrayBuffer));
    this.#lent = null;
    this.receiver.onDrain();
  }

  /** Answers the buffer for the next read when it is another one. */
  #read(size: number): Buffer | undefined {
    const buffer = this.#buffer;
    const chunk = size === buffer.length ? buffer : buffer.subarray(0, size);
    kept = null;
    this.receiver.onData(chunk, buffer === SHARED);
    // While it waits it needs no other: what made it wait may last.
    if (kept === buffer.buffer) this.#buffer = SHARED;
    if (this.#handle === null) return undefined;
    if (!this.#paused) {
      if (this.#run < SWIFT) this.#run += size;
      this.#monologue += size;
      if (size < TRICKLE || size < buffer.length * TRICKLE_PART) this.#giveBack();
      else if (size === buffer.length) this.#grow(size);
      else if (this.#monologue > MONOLOGUE && this.#run >= SWIFT && size * 2 < buffer.length) this.#rest();
    }
    return this.#buffer === buffer ? undefined : this.#buffer;
  }

  #rest(): void {
    this.#resting = true;
    this.#handle?.readStop();
    if (resting.push(this) === 1) setTimeout(wakeAll, REST_MS);
  }

  /** A read that fills its buffer is bulk: the next one goes to a buffer of the stream's own, which needs no copy. */
  #grow(size: number): void {
    if (this.#run >= SWIFT) {
      const larger = takeLarger(size);
      if (larger === null) return;
      this.#giveBack();
      this.#buffer = larger;
    } else if (this.#buffer === SHARED) this.#buffer = takeFor(size);
  }

  /** Only when nothing is being written from it any more. */
  #giveBack(): void {
    if (this.#buffer === SHARED) return;
    giveBack(this.#buffer);
    this.#buffer = SHARED;
  }

  /** Closed: who received the last bytes may still have them. */
  #drop(): void {
    if (this.#buffer !== SHARED) drop(this.#buffer.buffer);
    this.#buffer = SHARED;
    if (this.#lent !== null) for (const memory of this.#lent) drop(memory);
    this.#lent = null;
  }
}
