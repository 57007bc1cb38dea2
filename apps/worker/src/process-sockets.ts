/**
 * The sockets that a worker of several processes listens on. The process in front binds them and never accepts: each
 * process gets one of its own for each address (SO_REUSEPORT spreads connections over them), as a handle that both
 * hold. So a socket outlives the process that accepts on it: its queue waits for the successor, and until then another
 * process accepts on it as well.
 */
import net from 'node:net';
import { getSystemErrorName } from 'node:util';
import type { ListenAddress } from '@arcus/gateway/kind.ts';
import { Claims } from './claims.ts';
import { formatAddress } from './listeners.ts';

/** What Node's own `cluster` passes on: a bound socket. */
interface Handle {
  getsockname(out: object): number;
  close(): void;
}
type Bind = (host: string, port: number, family: 4 | 6, fd: -1, flags: number) => Handle | number;

/** libuv's UV_TCP_REUSEPORT. */
const REUSEPORT = 2;

interface Socket<P> {
  readonly handle: Handle;
  /** Who accepts on it: the process of its slot; while that is replaced, its successor, too. */
  readonly users: Set<P>;
  /** Who accepts on it because its own process is gone. */
  lent: P | null;
}

interface Shared<P> {
  readonly address: string;
  readonly listen: ListenAddress;
  readonly ours: Promise<boolean>;
  /** By slot. */
  readonly sockets: Map<number, Socket<P>>;
  asked: number;
}

export interface SocketsOptions<P> {
  /** Each slot has a socket of its own; false: all share one, as where the system has no SO_REUSEPORT. */
  readonly reusePort?: boolean;
  /** A process that could stand in for one of this slot that is gone. */
  readonly standIn: (slot: number) => P | undefined;
  /** Lets `process` accept on a handle, too; null ends that. */
  readonly lend: (process: P, address: string, handle: object | null) => void;
}

export class Sockets<P extends object> {
  readonly #options: SocketsOptions<P>;
  readonly #shared = new Map<string, Shared<P>>();
  readonly #gone = new WeakSet<P>();
  /** Only where the kernel would let strangers share our addresses as well. */
  readonly #claims = new Claims<Sockets<P>>();
  #reusePort: boolean;
  #closing = false;

  constructor(options: SocketsOptions<P>) {
    this.#options = options;
    this.#reusePort = options.reusePort ?? true;
  }

  /** Addresses that are held. */
  get size(): number {
    return this.#shared.size;
  }

  /** The socket of a slot for `process` to listen on. Fails with the system's code: EADDRINUSE, EACCES, … */
  async open(listen: ListenAddress, slot: number, process: P): Promise<object> {
    const address = formatAddress(listen);
    let shared = this.#shared.get(address);
    if (!shared) {
      const claimed = this.#reusePort && globalThis.process.platform === 'linux';
      const ours = claimed ? this.#claims.claim(address, this) : Promise.resolve(true);
      shared = { address, listen, ours, sockets: new Map(), asked: 0 };
      this.#shared.set(address, shared);
    }
    shared.asked++;
    try {
      if (!(await shared.ours)) throw failed('EADDRINUSE', `${address} belongs to another worker`);
      if (this.#closing || this.#gone.has(process)) throw failed('ECANCELED', 'the process is gone');
      let socket = shared.sockets.get(this.#at(slot));
      if (!socket) {
        const handle = this.#bind(listen);
        socket = { handle, users: new Set(), lent: null };
        shared.sockets.set(this.#at(slot), socket);
      }
      socket.users.add(process);
      return socket.handle;
    } finally {
      shared.asked--;
      this.#tidy(shared);
    }
  }

  /** `process` listens there no more. A socket that nobody accepts on is closed, or else its queue would swallow. */
  release(address: string, process: P): void {
    const shared = this.#shared.get(address);
    for (const [at, socket] of shared?.sockets ?? []) {
      if (socket.users.delete(process) && socket.users.size === 0) this.#close(shared!, at, socket);
    }
    if (shared) this.#tidy(shared);
  }

  /** `process` is about to stop, and gives back what it has itself: what was lent to it goes to another. */
  leave(process: P): void {
    for (const [shared, at, socket] of this.#all()) {
      if (socket.lent !== process) continue;
      socket.lent = null;
      this.#lend(shared, at, socket);
    }
  }

  /** `process` is dead. Its sockets wait for a successor. */
  gone(process: P): void {
    this.#gone.add(process);
    for (const [shared, at, socket] of this.#all()) {
      if (socket.lent === process) socket.lent = null;
      socket.users.delete(process);
      if (socket.users.size > 0) continue;
      if (this.#closing) this.#close(shared, at, socket);
      else this.#lend(shared, at, socket);
    }
    for (const shared of [...this.#shared.values()]) this.#tidy(shared);
  }

  /** The process of a slot serves: it has taken what it needs. And it may stand in for others. */
  settle(slot: number): void {
    for (const [shared, at, socket] of this.#all()) {
      if (at !== this.#at(slot)) {
        if (socket.users.size === 0) this.#lend(shared, at, socket);
        continue;
      }
      if (socket.lent) this.#options.lend(socket.lent, shared.address, null);
      socket.lent = null;
      if (socket.users.size === 0) this.#close(shared, at, socket);
    }
    for (const shared of [...this.#shared.values()]) this.#tidy(shared);
  }

  /** Nobody is replaced any more: each address ends with its last user. */
  close(): void {
    this.#closing = true;
    for (const [shared, at, socket] of this.#all()) if (socket.users.size === 0) this.#close(shared, at, socket);
    for (const shared of [...this.#shared.values()]) this.#tidy(shared);
  }

  #at(slot: number): number {
    return this.#reusePort ? slot : 0;
  }

  *#all(): Iterable<[Shared<P>, number, Socket<P>]> {
    for (const shared of [...this.#shared.values()]) {
      for (const [at, socket] of [...shared.sockets]) yield [shared, at, socket];
    }
  }

  #lend(shared: Shared<P>, at: number, socket: Socket<P>): void {
    if (socket.lent || this.#closing) return;
    socket.lent = this.#options.standIn(at) ?? null;
    if (socket.lent) this.#options.lend(socket.lent, shared.address, socket.handle);
  }

  #close(shared: Shared<P>, at: number, socket: Socket<P>): void {
    if (socket.lent) this.#options.lend(socket.lent, shared.address, null);
    socket.handle.close();
    shared.sockets.delete(at);
  }

  #tidy(shared: Shared<P>): void {
    if (shared.asked > 0 || shared.sockets.size > 0 || this.#shared.get(shared.address) !== shared) return;
    this.#shared.delete(shared.address);
    this.#claims.release(shared.address, this);
  }

  #bind(listen: ListenAddress): Handle {
    const code = (bound: Handle | number) => (typeof bound === 'number' ? bound : bound.getsockname({}));
    const handle = bind(listen, this.#reusePort ? REUSEPORT : 0);
    // libuv keeps some errors of bind(2) for the next call.
    const error = code(handle);
    if (error === 0) return handle as Handle;
    if (typeof handle !== 'number') handle.close();
    const name = getSystemErrorName(error);
    if (name !== 'ENOTSUP' || !this.#reusePort) throw failed(name, `bind ${name} ${formatAddress(listen)}`);
    this.#reusePort = false;
    return this.#bind(listen);
  }
}

/** Binds and does not listen: who listens accepts, and that is for the processes. Public Node offers only both at once. */
function bind({ host, port }: ListenAddress, flags: number): Handle | number {
  const { _createServerHandle } = net as unknown as { _createServerHandle: Bind };
  return _createServerHandle(host, port, net.isIPv6(host) ? 6 : 4, -1, flags);
}

const failed = (code: string, message: string): Error => Object.assign(new Error(message), { code });
