/** A client of tunnels, lean enough to leave its core to the origin: one buffer for all reads, counts instead of copies. */
import net from 'node:net';
import type { ProxyUnderTest } from '../lab.ts';

/** What is read is never looked at twice, so all clients read into the same place. */
const shared = Buffer.allocUnsafeSlow(256 * 1024);

/** One connection through a proxy to `target`. Only one thing is waited for at a time. */
export class TunnelClient {
  readonly socket: net.Socket;
  #text = '';
  /** Body bytes that are still to come; -1 while a head is read; -2 while nothing is expected. */
  #left = -2;
  #resolve: () => void = () => {};
  #reject: (error: Error) => void = () => {};
  #ended = false;

  private constructor(port: number) {
    this.socket = net.connect({
      ...{ port, host: '127.0.0.1', noDelay: true },
      onread: {
        buffer: shared,
        callback: (size) => {
          this.#read(size);
          return true;
        },
      },
    });
    this.socket.on('error', (error) => this.#reject(error));
    this.socket.on('close', () => {
      this.#ended = true;
      this.#reject(new Error('the tunnel was closed'));
    });
  }

  /** Opens a tunnel: by CONNECT, or by connecting alone where the proxy has one fixed origin. */
  static async open(proxy: ProxyUnderTest, target: string): Promise<TunnelClient> {
    const client = new TunnelClient(proxy.port);
    await client.#wait(() => client.socket.once('connect', () => client.#done()));
    if (proxy.tunnels === 'fixed') return client;
    const auth = proxy.authorization && `Proxy-Authorization: ${proxy.authorization}\r\n`;
    await client.#answer(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${auth}\r\n`, true);
    return client;
  }

  /** Fetches a path of the origin on the connection as it is and throws the body away. */
  get(path: string, close = false): Promise<void> {
    return this.#answer(`GET ${path} HTTP/1.1\r\nHost: origin\r\n${close ? 'Connection: close\r\n' : ''}\r\n`, false);
  }

  /** Sends `bytes` to a sink and waits until it has all of them. */
  async send(bytes: number, chunk: Buffer): Promise<void> {
    const header = Buffer.alloc(8);
    header.writeBigUInt64BE(BigInt(bytes));
    this.socket.write(header);
    for (let left = bytes; left > 0; left -= chunk.length) {
      const room = this.socket.write(left >= chunk.length ? chunk : chunk.subarray(0, left));
      if (!room) await this.#wait(() => this.socket.once('drain', () => this.#done()));
    }
    await this.#wait(() => {
      this.#left = 2;
    });
  }

  /** Resolves once both sides have closed. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#reject = () => {};
    await new Promise<void>((resolve) => {
      this.socket.once('close', () => resolve());
      this.socket.end();
    });
  }

  destroy(): void {
    this.#reject = () => {};
    this.socket.destroy();
  }

  #answer(request: string, connect: boolean): Promise<void> {
    return this.#wait(() => {
      this.#left = connect ? -3 : -1;
      this.socket.write(request, 'latin1');
    });
  }

  #wait(begin: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      begin();
    });
  }

  #done(): void {
    this.#left = -2;
    this.#resolve();
  }

  #read(size: number): void {
    if (this.#left > 0) {
      this.#left -= size;
      if (this.#left <= 0) this.#done();
      return;
    }
    if (this.#left === -2) return;
    this.#text += shared.toString('latin1', 0, size);
    const end = this.#text.indexOf('\r\n\r\n');
    if (end < 0) return;
    const [head, body] = [this.#text.slice(0, end), this.#text.length - end - 4];
    this.#text = '';
    if (!/^HTTP\/1\.[01] 200/.test(head)) {
      this.#reject(new Error(`answered ${head.slice(0, 100)}`));
      return;
    }
    const length = this.#left === -3 ? 0 : Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? Number.NaN);
    this.#left = length - body;
    if (!(this.#left > 0)) this.#done();
  }
}

/** Runs `work` `count` times, `at` of them at once. */
export async function crowd(count: number, at: number, work: () => Promise<unknown>): Promise<void> {
  let left = count;
  const one = async () => {
    while (left-- > 0) await work();
  };
  await Promise.all(Array.from({ length: Math.min(at, count) }, one));
}
