/**
 * What Node's `net` is built on: the handles of sockets. Its streams on top of them cost more than the sockets do, so the data
 * path goes without (docs/adr/0010-handles.md). Where this Node does not have them it takes the streams: `SocketStream`.
 */

/** A write that is not over at once. */
export interface WriteRequest {
  oncomplete: (status: number) => void;
  stream?: unknown;
  /** Read from until the write is over. */
  chunk?: Uint8Array | string;
}

export interface ShutdownRequest {
  oncomplete: (status: number) => void;
  stream?: unknown;
}

export interface ConnectRequest {
  oncomplete: (status: number, handle: TcpHandle, request: ConnectRequest) => void;
  stream?: unknown;
}

export interface AddressOf {
  address?: string;
  port?: number;
}

/** A socket. What answers a number answers 0, or an error number below it. */
export interface TcpHandle {
  /** Called for each read, see `readOf`; may answer the buffer that the next read goes to. */
  onread: (this: any) => Uint8Array | undefined;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  writeLatin1String(request: WriteRequest, text: string): number;
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  shutdown(request: ShutdownRequest): number;
  close(closed?: (this: any) => void): void;
  reset(closed: (this: any) => void): number;
  setNoDelay(on: boolean): number;
  bind(address: string, port: number): number;
  bind6(address: string, port: number, flags: number): number;
  connect(request: ConnectRequest, address: string, port: number): number;
  connect6(request: ConnectRequest, address: string, port: number): number;
  getpeername(out: AddressOf): number;
  getsockname(out: AddressOf): number;
  readonly fd: number;
  readonly bytesWritten: number;
  readonly writeQueueSize: number;
}

/** A listening socket, inside a `net.Server`. */
export interface ServerHandle {
  onconnection: (error: number, client: TcpHandle) => void;
}

interface TcpBinding {
  readonly TCP: new (kind: number) => TcpHandle;
  readonly TCPConnectWrap: new () => ConnectRequest;
  readonly constants: { readonly SOCKET: number };
}

interface StreamBinding {
  readonly WriteWrap: new () => WriteRequest;
  readonly ShutdownWrap: new () => ShutdownRequest;
  /** Facts on the last call, by index. */
  readonly streamBaseState: Readonly<Record<number, number>>;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

export interface Internals extends StreamBinding {
  newHandle(): TcpHandle;
  readonly TCPConnectWrap: new () => ConnectRequest;
}

const METHODS = [
  'useUserBuffer',
  'readStart',
  'readStop',
  'writeLatin1String',
  'writeBuffer',
  'shutdown',
  'close',
  'reset',
  'setNoDelay',
  'bind',
  'bind6',
  'connect',
  'connect6',
  'getpeername',
  'getsockname',
];

/** Null where this Node does not have all of it. */
export const internals: Internals | null = find();

function find(): Internals | null {
  try {
    const inside = process as unknown as { binding(name: string): unknown };
    const tcp = inside.binding('tcp_wrap') as TcpBinding;
    const stream = inside.binding('stream_wrap') as StreamBinding;
    const found: Internals = {
      newHandle: () => new tcp.TCP(tcp.constants.SOCKET),
      TCPConnectWrap: tcp.TCPConnectWrap,
      WriteWrap: stream.WriteWrap,
      ShutdownWrap: stream.ShutdownWrap,
      streamBaseState: stream.streamBaseState,
      kReadBytesOrError: stream.kReadBytesOrError,
      kLastWriteWasAsync: stream.kLastWriteWasAsync,
    };
    return isWhole(found) ? found : null;
  } catch {
    return null;
  }
}

function isWhole(found: Internals): boolean {
  const handle = found.newHandle();
  const whole =
    METHODS.every((name) => typeof (handle as unknown as Record<string, unknown>)[name] === 'function') &&
    [found.TCPConnectWrap, found.WriteWrap, found.ShutdownWrap].every((made) => typeof made === 'function') &&
    typeof found.streamBaseState[found.kReadBytesOrError] === 'number' &&
    typeof found.streamBaseState[found.kLastWriteWasAsync] === 'number';
  handle.close();
  return whole;
}
