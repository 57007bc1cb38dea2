import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

export interface RawResponse {
  status: number;
  reason: string;
  version: string;
  /** Names in lower case; several fields of one name are joined with ', '. */
  headers: Record<string, string>;
  /** Status line and fields as received, with the blank line. */
  head: string;
  /** Chunked framing removed. */
  body: Buffer;
  text: string;
}

export interface RawClientOptions {
  host?: string;
  port: number;
  /** TLS from the start: the CA to trust and the name to expect. */
  tls?: { ca: string; servername?: string };
  localAddress?: string;
  /** Milliseconds that any read may take; default 30,000. */
  deadline?: number;
}

/** A client that sends exactly the bytes it is given. */
export class RawClient {
  socket: Socket;
  readonly #deadline: number;
  #buffer: Buffer = Buffer.alloc(0);
  #state: 'open' | 'end' | 'reset' = 'open';
  #wake: () => void = () => {};

  private constructor(socket: Socket, deadline: number) {
    this.socket = socket;
    this.#deadline = deadline;
    this.#listen();
  }

  static connect({
    host = '127.0.0.1',
    port,
    tls,
    localAddress,
    deadline = 30_000,
  }: RawClientOptions): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket: Socket = tls
        ? connectTls({ host, port, ca: tls.ca, servername: tls.servername ?? 'localhost' })
        : connect({ host, port, localAddress, allowHalfOpen: true, noDelay: true });
      socket.once('error', reject);
      socket.once(tls ? 'secureConnect' : 'connect', () => {
        socket.off('error', reject);
        resolve(new RawClient(socket, deadline));
      });
    });
  }

  /** Resolves when the bytes were handed to the kernel. */
  send(bytes: string | Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      const data = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
      this.socket.write(data, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** Ends our side; theirs stays open. */
  end(): void {
    this.socket.end();
  }

  /** RST instead of FIN. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  /** What came and was not read yet. */
  get pending(): Buffer {
    return this.#buffer;
  }

  /** Bytes up to and including the pattern. */
  async readUntil(pattern: string | RegExp): Promise<Buffer> {
    for (;;) {
      const text = this.#buffer.toString('latin1');
      const match = typeof pattern === 'string' ? text.indexOf(pattern) : text.search(pattern);
      if (match >= 0) {
        const length = typeof pattern === 'string' ? pattern.length : (text.match(pattern)?.[0].length ?? 0);
        return this.#take(match + length);
      }
      await this.#more(`${pattern}`);
    }
  }

  /** Exactly this many bytes. */
  async read(bytes: number): Promise<Buffer> {
    while (this.#buffer.length < bytes) await this.#more(`${bytes} bytes`);
    return this.#take(bytes);
  }

  /** All bytes until the peer ends (or resets) the connection. */
  async readToEnd(): Promise<Buffer> {
    await this.closed();
    return this.#take(this.#buffer.length);
  }

  /** Resolves once the peer closed: 'end' for FIN, 'reset' for RST. */
  async closed(): Promise<'end' | 'reset'> {
    while (this.#state === 'open') await this.#more('the connection closes', true);
    return this.#state;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /**
   * One full HTTP/1 response. `method`: HEAD has no body, a 2xx to CONNECT neither. 1xx answers are given as they
   * come. Without any framing the body goes to the end of the connection.
   */
  async readResponse({ method = 'GET' }: { method?: string } = {}): Promise<RawResponse> {
    const head = (await this.readUntil('\r\n\r\n')).toString('latin1');
    const [start = '', ...lines] = head.slice(0, -4).split('\r\n');
    const match = /^HTTP\/(\d\.\d) (\d{3}) ?(.*)$/.exec(start);
    if (!match) throw new Error(`not a status line: ${JSON.stringify(start)}`);
    const headers: Record<string, string> = {};
    for (const line of lines) {
      const colon = line.indexOf(':');
      const name = line.slice(0, colon).toLowerCase();
      const value = line.slice(colon + 1).trim();
      headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
    }
    const status = Number(match[2]);
    const empty =
      method === 'HEAD' || status < 200 || status === 204 || status === 304 || (method === 'CONNECT' && status < 300);
    let body: Buffer = Buffer.alloc(0);
    if (empty) {
      // RFC 9112 §6.3: these never have a body, whatever the fields say.
    } else if (/chunked/i.test(headers['transfer-encoding'] ?? '')) body = await this.#readChunks();
    else if (headers['content-length'] !== undefined) body = await this.read(Number(headers['content-length']));
    else body = await this.readToEnd();
    return {
      status,
      reason: match[3] ?? '',
      version: match[1] ?? '',
      headers,
      head,
      body,
      text: body.toString('utf8'),
    };
  }

  /** `GET`-like convenience: sends the bytes, reads one response. */
  async request(bytes: string | Uint8Array): Promise<RawResponse> {
    const method = /^[A-Z]+/.exec(Buffer.from(bytes as string).toString('latin1'))?.[0] ?? 'GET';
    await this.send(bytes);
    return this.readResponse({ method });
  }

  /** TLS inside this connection, e.g. after CONNECT. The client then reads and writes what is inside. */
  async startTls(options: { ca: string; servername?: string; ALPNProtocols?: string[] }): Promise<void> {
    const inner = this.socket;
    inner.removeAllListeners();
    inner.pause();
    if (this.#buffer.length > 0) inner.unshift(this.#take(this.#buffer.length));
    await new Promise<void>((resolve, reject) => {
      const socket = connectTls({ servername: 'localhost', ...options, socket: inner });
      socket.once('error', reject);
      socket.once('secureConnect', () => {
        socket.off('error', reject);
        this.socket = socket;
        this.#listen();
        resolve();
      });
    });
  }

  async close(): Promise<void> {
    this.socket.destroy();
  }

  async #readChunks(): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (;;) {
      const line = (await this.readUntil('\r\n')).toString('latin1');
      const size = Number.parseInt(line, 16);
      if (Number.isNaN(size)) throw new Error(`not a chunk size: ${JSON.stringify(line)}`);
      if (size === 0) break;
      parts.push(await this.read(size));
      await this.read(2);
    }
    while ((await this.readUntil('\r\n')).length > 2); // trailers
    return Buffer.concat(parts);
  }

  #listen(): void {
    const over = (state: 'end' | 'reset') => {
      if (this.#state === 'open') this.#state = state;
      this.#wake();
    };
    this.socket.on('data', (chunk: Buffer) => {
      this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
      this.#wake();
    });
    this.socket.on('end', () => over('end'));
    this.socket.on('error', () => over('reset'));
    this.socket.on('close', () => over('end'));
  }

  #take(bytes: number): Buffer {
    const taken = this.#buffer.subarray(0, bytes);
    this.#buffer = this.#buffer.subarray(bytes);
    return taken;
  }

  #more(what: string, closing = false): Promise<void> {
    return new Promise((resolve, reject) => {
      const got = () => JSON.stringify(this.#buffer.toString('latin1').slice(0, 300));
      if (this.#state !== 'open') {
        if (closing) resolve();
        else reject(new Error(`connection closed (${this.#state}) while waiting for ${what}; unread: ${got()}`));
        return;
      }
      const timer = setTimeout(
        () => reject(new Error(`not within ${this.#deadline} ms: ${what}; unread: ${got()}`)),
        this.#deadline,
      );
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = () => {};
        resolve();
      };
    });
  }
}
