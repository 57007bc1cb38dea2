/**
 * Writes to a socket without Node's stream machinery on top of it, which costs as much again as the write itself. Where
 * this Node does not have what that takes inside, it goes through the socket's `write`.
 */
import type net from 'node:net';
import { getSystemErrorName } from 'node:util';

/** Who wrote. */
export interface Writer {
  /** What was left of one write has gone to the kernel. */
  written(): void;
}

/** What Node has inside: one for each write that is not over at once. */
interface WriteRequest {
  oncomplete?: (status: number) => void;
  socket?: net.Socket;
  writer?: Writer;
  /** Read from until the write is over. */
  chunk?: Uint8Array | string;
}

interface Handle {
  /** Both answer 0 or an error number below it; what the kernel does not take at once is written later. */
  writeLatin1String(request: WriteRequest, text: string): number;
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
}

interface StreamBinding {
  readonly WriteWrap: new () => WriteRequest;
  /** Facts on the last write, by index. */
  readonly streamBaseState: Readonly<Record<number, number>>;
  readonly kLastWriteWasAsync: number;
}

const binding = findBinding();

function findBinding(): StreamBinding | null {
  try {
    const found = (process as unknown as { binding(name: string): Partial<StreamBinding> }).binding('stream_wrap');
    const whole =
      typeof found.WriteWrap === 'function' &&
      found.streamBaseState !== undefined &&
      typeof found.kLastWriteWasAsync === 'number';
    return whole ? (found as StreamBinding) : null;
  } catch {
    return null;
  }
}

const EMPTY = Buffer.alloc(0);

/** Used again as long as writes are over at once. */
let spare: WriteRequest | null = null;

/**
 * Gives `chunk` (a string is latin1) to the kernel. False when a part of it waits: `written` is called when it has gone,
 * and until then the chunk must not change. A socket that fails is destroyed with the error.
 */
export function writeNow(socket: net.Socket, chunk: Uint8Array | string, writer: Writer): boolean {
  const handle = (socket as unknown as { _handle: Handle | null })._handle;
  if (handle === null || socket.destroyed) return true;
  if (binding === null) return writeBySocket(socket, chunk, writer);
  const request = spare ?? new binding.WriteWrap();
  spare = request;
  const failed =
    typeof chunk === 'string' ? handle.writeLatin1String(request, chunk) : handle.writeBuffer(request, chunk);
  if (failed !== 0) {
    socket.destroy(writeError(failed));
    return true;
  }
  if (binding.streamBaseState[binding.kLastWriteWasAsync] === 0) return true;
  spare = null;
  request.oncomplete = onComplete;
  request.socket = socket;
  request.writer = writer;
  request.chunk = chunk;
  return false;
}

function onComplete(this: WriteRequest, status: number): void {
  const { socket, writer } = this;
  if (status < 0) {
    if (!socket!.destroyed) socket!.destroy(writeError(status));
  } else writer!.written();
}

/** The same by the socket's own means; also for a Node that keeps its insides to itself. */
export function writeBySocket(socket: net.Socket, chunk: Uint8Array | string, writer: Writer): boolean {
  if (typeof chunk === 'string') socket.write(chunk, 'latin1');
  else socket.write(chunk);
  if (socket.writableLength === 0) return true;
  // Node says 'drain' only above its own mark; an empty write with a callback tells in every case.
  socket.write(EMPTY, (error) => {
    if (!error) writer.written();
  });
  return false;
}

function writeError(number: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(number);
  return Object.assign(new Error(`write ${code}`), { code, errno: number, syscall: 'write' });
}
