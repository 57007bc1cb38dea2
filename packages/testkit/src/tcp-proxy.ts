import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from './port.ts';

interface Pair {
  client: Socket;
  upstream: Socket | undefined;
}

/** A TCP hop between a client and a server that a test can cut, close or turn into a black hole. */
export class TcpProxy {
  readonly port: number;
  readonly #target: { host: string; port: number };
  readonly #pairs = new Set<Pair>();
  #server: Server | undefined;
  #hole = false;
  #cutAfter = Number.POSITIVE_INFINITY;
  /** Connections accepted so far. */
  accepted = 0;
  /** Bytes from clients to the target, and back. */
  bytesUp = 0;
  bytesDown = 0;

  private constructor(port: number, target: { host: string; port: number }) {
    this.port = port;
    this.#target = target;
  }

  /** Listens on a free port of 127.0.0.1 and passes everything on to `target`. */
  static async start(target: { host?: string; port: number }): Promise<TcpProxy> {
    const proxy = new TcpProxy(await freePort(), { host: target.host ?? '127.0.0.1', port: target.port });
    await proxy.#listen();
    return proxy;
  }

  /** Connections open now. */
  get active(): number {
    return this.#pairs.size;
  }

  /** Resets every open connection on both sides; new ones pass. */
  cut(): void {
    for (const pair of this.#pairs) this.#drop(pair);
  }

  /** Every connection is reset once it has carried this many bytes from the target; null lifts that. */
  cutAfter(bytes: number | null): void {
    this.#cutAfter = bytes ?? Number.POSITIVE_INFINITY;
  }

  /** Cuts all connections, and new ones are refused until `pass()`. */
  async refuse(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()));
    this.cut();
    await closed;
  }

  /** Open connections stay open and carry nothing any more; new ones are accepted and carry nothing. */
  blackHole(): void {
    this.#hole = true;
    for (const { client, upstream } of this.#pairs) {
      client.pause();
      upstream?.pause();
    }
  }

  /** Back to normal. Connections accepted inside a black hole are reset, older ones go on where they were. */
  async pass(): Promise<void> {
    this.#hole = false;
    for (const pair of this.#pairs) {
      if (!pair.upstream) this.#drop(pair);
      pair.client.resume();
      pair.upstream?.resume();
    }
    if (!this.#server) await this.#listen();
  }

  async close(): Promise<void> {
    await this.refuse();
  }

  #listen(): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
    this.#server = server;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.port, '127.0.0.1', resolve);
    });
  }

  #accept(client: Socket): void {
    this.accepted++;
    const pair: Pair = { client, upstream: undefined };
    this.#pairs.add(pair);
    client.on('error', () => this.#drop(pair));
    client.on('close', () => this.#drop(pair));
    if (this.#hole) {
      client.pause();
      return;
    }
    const upstream = connect({ ...this.#target, allowHalfOpen: true });
    pair.upstream = upstream;
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    upstream.on('error', () => this.#drop(pair));
    upstream.on('close', () => this.#drop(pair));
    client.on('data', (chunk) => {
      this.bytesUp += chunk.length;
      if (!upstream.write(chunk)) client.pause();
    });
    upstream.on('drain', () => this.#hole || client.resume());
    let carried = 0;
    upstream.on('data', (chunk) => {
      carried += chunk.length;
      this.bytesDown += chunk.length;
      if (carried >= this.#cutAfter) this.#drop(pair);
      else if (!client.write(chunk)) upstream.pause();
    });
    client.on('drain', () => this.#hole || upstream.resume());
    client.on('end', () => upstream.end());
    upstream.on('end', () => client.end());
  }

  #drop(pair: Pair): void {
    if (!this.#pairs.delete(pair)) return;
    // Both sides ended in order: nothing is left to reset.
    for (const socket of [pair.client, pair.upstream]) {
      if (!socket || socket.destroyed) continue;
      // While a FIN is on its way a reset fails (uv_tcp_close_reset: EINVAL) and Node then never closes the handle.
      if (socket.writableEnded && !socket.writableFinished) socket.destroy();
      else socket.resetAndDestroy();
    }
  }
}
