/**
 * Bound sockets, one per address. They outlive graphs: a release only changes which server a socket hands its
 * connections to, so that no connection is refused while releases come and go.
 */
import net from 'node:net';
import type { Fault } from '@arcus/gateway/fault.ts';
import type { Binding, ClientShare, ListenAddress, Server } from '@arcus/gateway/kind.ts';
import type { ByteStream } from '@arcus/gateway/stream.ts';
import { createTcpServer } from '@arcus/gateway/tcp/tcp.ts';

/** A server that wants its address; `pointer` names the field of the config, for the fault. */
export interface Wanted {
  readonly server: Server;
  readonly pointer: string;
}

/** All that a tenant wants; what it has beside that it gives up. */
export interface Part {
  readonly tenant: string;
  readonly wanted: readonly Wanted[];
  /** Connections of addresses that it gives up are cut after so many ms; else they may take their time. */
  readonly destroyAfter?: number | undefined;
}

/** An address of another tenant that is in the way. */
export interface Blocker {
  readonly tenant: string;
  readonly address: string;
}

/** Addresses that could not be had on this machine now. Another time, or once somebody lets go, they may. */
export class ListenError extends Error {
  readonly faults: readonly Fault[];
  readonly blockers: readonly Blocker[];
  constructor(faults: readonly Fault[], blockers: readonly Blocker[]) {
    super(faults.map((f) => f.message).join('; '));
    this.name = 'ListenError';
    this.faults = faults;
    this.blockers = blockers;
  }
}

/** Listeners that are ready for the next graphs. Exactly one of `commit` and `abort` follows. */
export interface Prepared {
  /** Hands every address over to the new servers, in one synchronous step. */
  commit(): void;
  /** After `commit`: stops listening on addresses that the new graphs do not use. */
  closeUnused(): void;
  /** Lets go of what was bound for nothing. */
  abort(): void;
}

/** A bound socket that is kept by the process in front, too: it outlives ours. */
export interface KeptSocket {
  /** For `net.Server.listen`. */
  readonly handle: object;
  /** We listen on it no more. */
  release(): void;
}

export interface ListenersOptions {
  /**
   * One of several processes that listen on each address together: where bound sockets come from. Fails with the
   * system's code (EADDRINUSE, …).
   */
  readonly open?: (listen: ListenAddress) => Promise<KeptSocket>;
  /** With `open`: what the processes tell each other of an address's clients. */
  readonly share?: (address: string) => ClientShare;
  /** An address of this process is free again. */
  readonly onFreed?: () => void;
  /** A socket or a server failed in a way that only an operator can mend (too many open files, a bug). */
  readonly onError?: (error: unknown, address: string) => void;
}

/** `127.0.0.1:8080`, `[::1]:8080` */
export const formatAddress = ({ host, port }: ListenAddress): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

const addressOf = ({ server }: Wanted): string => formatAddress(server.listen);

interface Listener {
  readonly tenant: string;
  readonly listen: ListenAddress;
  readonly binding: Binding;
  /** Null while it is being bound, and while it stands back for a wider address. */
  server: net.Server | null;
  opening: boolean;
  /** Says that `server` is closed, where somebody else keeps its socket. */
  release: (() => void) | null;
  /** Accepts on the socket of a process that died, until that is replaced. */
  lent: net.Server | null;
  /** Whose the connections of `server` and `lent` are: itself, until another tenant's takes the sockets over. */
  feeds: { to: Listener | null };
}

const BACKLOG = 4096;

const WIDE: Record<string, number | undefined> = { '0.0.0.0': 4, '::': 6 };

/** Can one connection be meant for both? An IPv6 wildcard takes IPv4, too. */
function overlap(a: ListenAddress, b: ListenAddress): boolean {
  if (a.port !== b.port) return false;
  const covers = (wide: ListenAddress, other: ListenAddress) =>
    WIDE[wide.host] === 6 || (WIDE[wide.host] === 4 && net.isIPv4(other.host));
  return a.host === b.host || covers(a, b) || covers(b, a);
}

export class Listeners {
  readonly #listeners = new Map<string, Listener>();
  readonly #byTenant = new Map<string, Set<Listener>>();
  /** Closed, and still with connections. */
  readonly #leaving = new Set<Listener>();
  readonly #options: ListenersOptions;
  #draining = false;

  constructor(options: ListenersOptions = {}) {
    this.#options = options;
  }

  /** Addresses bound now. */
  get size(): number {
    return this.#listeners.size;
  }

  /** Connections open now. */
  get connections(): number {
    let n = 0;
    for (const l of this.#listeners.values()) n += l.binding.open.size;
    for (const l of this.#leaving) n += l.binding.open.size;
    return n;
  }

  /**
   * Binds what the tenants do not have yet, for all of them or none: what one gives up another may take over.
   * ListenError names every address that cannot be had; then nothing changed.
   */
  async prepare(...parts: readonly Part[]): Promise<Prepared> {
    const next = new Map<Listener, Server>();
    const fresh: Listener[] = [];
    /** Listeners of a tenant that gives the address up -> those of the tenant that takes it over. */
    const handed = new Map<Listener, Listener>();
    const faults: Fault[] = [];
    const blockers: Blocker[] = [];
    const keeps = new Map(parts.map((part) => [part.tenant, new Set(part.wanted.map(addressOf))]));
    const givesUp = (l: Listener) => keeps.get(l.tenant)?.has(l.binding.address) === false;
    const all = () => parts.flatMap(({ tenant }) => this.#of(tenant));
    const unused = () => all().filter((l) => givesUp(l) && !handed.has(l));

    for (const { tenant, wanted } of parts) {
      for (const { server, pointer } of wanted) {
        const address = formatAddress(server.listen);
        const held = this.#listeners.get(address);
        if (held?.tenant === tenant) {
          next.set(held, server);
          continue;
        }
        if (held && (held.server === null || !givesUp(held))) {
          faults.push({ pointer, code: 'address_in_use', message: `${address} is used by another tenant.` });
          blockers.push({ tenant: held.tenant, address });
          continue;
        }
        // Who stops goes on to follow releases with what it has, and opens nothing.
        if (this.#draining) continue;
        const listener = this.#make(tenant, server.listen);
        next.set(listener, server);
        if (held) {
          handed.set(held, listener);
          continue;
        }
        // Claimed before it is bound: two tenants that want it at once must not both believe they have it.
        this.#claim(listener);
        fresh.push(listener);
        try {
          await this.#bind(listener, unused);
        } catch (error) {
          faults.push({ pointer, ...this.#explain(listener, error as NodeJS.ErrnoException) });
          blockers.push(...this.#inTheWayOf(listener));
        }
      }
    }

    const abort = () => {
      for (const listener of fresh) this.#close(listener);
      // What stood back for a wider address that is not taken after all.
      if (this.#draining) return;
      for (const l of all()) if (l.server === null) this.#listen(l).catch((e) => this.#failed(e, l));
    };
    if (faults.length > 0) {
      abort();
      throw new ListenError(faults, blockers);
    }
    return {
      commit: () => {
        for (const [from, to] of handed) this.#handOver(from, to);
        for (const l of all()) l.binding.server = next.get(l) ?? null;
      },
      closeUnused: () => {
        let freed = false;
        for (const { tenant, destroyAfter } of parts) {
          for (const from of handed.keys()) if (from.tenant === tenant) this.#leave(from, destroyAfter);
          for (const l of this.#of(tenant)) {
            if (next.has(l)) continue;
            this.#close(l, destroyAfter);
            freed = true;
          }
        }
        // Not after `abort`: two tenants that are refused would else wake each other for ever.
        if (freed) this.#options.onFreed?.();
      },
      abort,
    };
  }

  /**
   * Takes no connection more, anywhere. Those that are open are served on, each client told with its next answer that
   * its connection ends.
   */
  drain(): void {
    this.#draining = true;
    for (const listener of this.#listeners.values()) {
      this.#stop(listener);
      for (const connection of [...listener.binding.open]) connection.drain(true);
    }
  }

  /** After `drain`: ends the connections that nothing runs on. */
  endIdle(): void {
    for (const { binding } of this.#listeners.values()) for (const connection of [...binding.open]) connection.drain();
  }

  /** Accepts also on the socket that another process, which died, had for this address; null ends that. */
  lend(address: string, handle: object | null): void {
    const listener = this.#listeners.get(address);
    const wanted = handle !== null && listener?.server && !this.#draining;
    if (handle !== null && !wanted) (handle as { close(): void }).close();
    listener?.lent?.close();
    if (listener) listener.lent = null;
    if (!wanted) return;
    const lent = this.#server(listener);
    lent.on('error', (error) => this.#failed(error, listener));
    lent.listen(handle, BACKLOG);
    listener.lent = lent;
  }

  /** Takes no connection more, anywhere. Connections end as soon as nothing runs on them. */
  close(): void {
    for (const listener of [...this.#listeners.values()]) this.#close(listener);
  }

  /** Cuts every connection. */
  destroy(): void {
    this.close();
    for (const { binding } of this.#leaving) for (const connection of [...binding.open]) connection.destroy();
  }

  #of(tenant: string): Listener[] {
    return [...(this.#byTenant.get(tenant) ?? [])];
  }

  #make(tenant: string, listen: ListenAddress): Listener {
    const address = formatAddress(listen);
    const share = this.#options.share?.(address);
    const listener: Listener = {
      tenant,
      listen,
      binding: { address, server: null, open: new Set(), ...(share && { share }) },
      ...{ server: null, opening: false, release: null, lent: null, feeds: { to: null } },
    };
    listener.feeds.to = listener;
    return listener;
  }

  /** The sockets of one listener are another's from here on, with all that waits in their queues. */
  #handOver(from: Listener, to: Listener): void {
    const { server, release, lent, feeds } = from;
    Object.assign(to, { server, release, lent, feeds });
    feeds.to = to;
    Object.assign(from, { server: null, release: null, lent: null, feeds: { to: from } });
    this.#unclaim(from);
    this.#claim(to);
  }

  #claim(listener: Listener): void {
    this.#listeners.set(listener.binding.address, listener);
    const mine = this.#byTenant.get(listener.tenant);
    if (mine) mine.add(listener);
    else this.#byTenant.set(listener.tenant, new Set([listener]));
  }

  #unclaim(listener: Listener): void {
    this.#listeners.delete(listener.binding.address);
    const mine = this.#byTenant.get(listener.tenant);
    if (mine?.delete(listener) && mine.size === 0) this.#byTenant.delete(listener.tenant);
  }

  async #bind(listener: Listener, unused: () => Listener[]): Promise<void> {
    try {
      await this.#listen(listener);
    } catch (error) {
      // 127.0.0.1:8080 becomes 0.0.0.0:8080: the kernel grants the second only when the first is closed.
      const inTheWay = unused().filter((l) => l.server !== null && l.listen.port === listener.listen.port);
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || inTheWay.length === 0) throw error;
      for (const l of inTheWay) this.#stop(l);
      await this.#listen(listener);
    }
  }

  async #listen(listener: Listener): Promise<void> {
    listener.opening = true;
    try {
      await this.#open(listener);
    } finally {
      listener.opening = false;
    }
    // Closed while it was being bound.
    if (this.#draining || this.#listeners.get(listener.binding.address) !== listener) this.#stop(listener);
  }

  async #open(listener: Listener): Promise<void> {
    const { open } = this.#options;
    if (!open) {
      await this.#bound(listener, { ...listener.listen, backlog: BACKLOG, exclusive: true });
      return;
    }
    // The kernel would share a wider address, too, and a tenant could take another's connections.
    const taken = [...this.#listeners.values()].some(
      (l) => l !== listener && (l.server !== null || l.opening) && overlap(l.listen, listener.listen),
    );
    if (taken) throw Object.assign(new Error('overlaps with an address in use'), { code: 'EADDRINUSE' });
    const { handle, release } = await open(listener.listen);
    await this.#bound(listener, handle).catch((error) => {
      release();
      throw error;
    });
    listener.release = release;
  }

  /** `where`: options of `net.Server.listen`, or the handle of a bound socket. */
  #bound(listener: Listener, where: net.ListenOptions | object): Promise<void> {
    const server = this.#server(listener);
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(where, BACKLOG, () => {
        server.removeListener('error', reject);
        server.on('error', (error) => this.#failed(error, listener));
        listener.server = server;
        resolve();
      });
    });
  }

  #server({ feeds }: Listener): net.Server {
    return createTcpServer((stream) => this.#accept(feeds.to!, stream));
  }

  /** Accepts nothing more. */
  #stop(listener: Listener): void {
    listener.lent?.close();
    listener.lent = null;
    listener.server?.close();
    listener.server = null;
    listener.release?.();
    listener.release = null;
  }

  #accept(listener: Listener, stream: ByteStream): void {
    const { binding } = listener;
    if (binding.server === null) {
      stream.destroy();
      return;
    }
    try {
      binding.server.serve(stream, binding);
    } catch (error) {
      stream.destroy();
      this.#failed(error, listener);
    }
  }

  #close(listener: Listener, destroyAfter?: number): void {
    if (this.#listeners.get(listener.binding.address) !== listener) return;
    this.#unclaim(listener);
    this.#stop(listener);
    this.#leave(listener, destroyAfter);
  }

  /** Ends the connections of a listener that has no socket any more. */
  #leave(listener: Listener, destroyAfter?: number): void {
    const { binding } = listener;
    binding.server = null;
    for (const connection of [...binding.open]) connection.drain();
    for (const l of this.#leaving) if (l.binding.open.size === 0) this.#leaving.delete(l);
    if (binding.open.size > 0) this.#leaving.add(listener);
    if (binding.open.size > 0 && destroyAfter !== undefined) {
      const cut = () => {
        for (const connection of [...binding.open]) connection.destroy();
      };
      setTimeout(cut, destroyAfter).unref();
    }
  }

  #failed(error: unknown, listener: Listener): void {
    this.#options.onError?.(error, listener.binding.address);
  }

  /** Addresses of other tenants that take connections meant for this one. */
  #inTheWayOf(listener: Listener): Blocker[] {
    const others = [...this.#listeners.values()].filter(
      (l) => l.tenant !== listener.tenant && l.server !== null && overlap(l.listen, listener.listen),
    );
    return others.map((l) => ({ tenant: l.tenant, address: l.binding.address }));
  }

  #explain(listener: Listener, error: NodeJS.ErrnoException): { code: string; message: string } {
    const { address } = listener.binding;
    switch (error.code) {
      case 'EADDRINUSE': {
        const other = [...this.#listeners.values()].find(
          (l) => l !== listener && l.server !== null && l.listen.port === listener.listen.port,
        );
        // Whose it is, is told only to its owner.
        const owner = other && (other.tenant === listener.tenant ? other.binding.address : 'another tenant');
        return {
          code: 'address_in_use',
          message: `${address} is in use on this machine${owner ? `: it overlaps with ${owner}` : ''}.`,
        };
      }
      case 'EADDRNOTAVAIL':
        return { code: 'address_not_available', message: `This machine has no address ${listener.listen.host}.` };
      case 'EACCES':
        return { code: 'address_denied', message: `This process may not listen on ${address}.` };
      default:
        return { code: 'listen_failed', message: `Listening on ${address} failed: ${error.message}.` };
    }
  }
}
