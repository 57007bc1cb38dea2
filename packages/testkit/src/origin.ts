import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsHttp } from 'node:https';
import { type AddressInfo, createServer as createTcp, type Server, type Socket } from 'node:net';
import { createServer as createTls } from 'node:tls';
import { freePort } from './port.ts';

export interface Listening {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

export interface TlsFiles {
  cert: string;
  key: string;
}

/** Listens on a free port of 127.0.0.1; `close` also resets what is still connected. */
export async function listen(server: Server, host = '127.0.0.1'): Promise<Listening> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
  });
  const port = await freePort();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    host,
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** A TCP (or TLS) server that sends back what it gets, half-close included. */
export async function startEcho({ tls }: { tls?: TlsFiles } = {}): Promise<Listening> {
  const echo = (socket: Socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  };
  return listen(tls ? createTls({ ...tls, allowHalfOpen: true }, echo) : createTcp({ allowHalfOpen: true }, echo));
}

export interface RecordedRequest {
  method: string;
  /** The request-target as received. */
  url: string;
  httpVersion: string;
  headers: IncomingHttpHeaders;
  rawHeaders: string[];
  body: Buffer;
  /** A number for each connection, from 1, so that reuse is visible. */
  connection: number;
}

export interface Answer {
  /** default 200 */
  status?: number;
  headers?: Record<string, string | number | string[]>;
  /** default: `origin\n`; several pieces go out chunked unless `content-length` is set. */
  body?: string | Uint8Array | readonly (string | Uint8Array)[];
}

export type Respond = (
  request: RecordedRequest,
  raw: { request: IncomingMessage; response: ServerResponse },
) => Answer | undefined | Promise<Answer | undefined>;

export interface Origin extends Listening {
  /** `http://127.0.0.1:<port>` or https */
  readonly url: string;
  readonly requests: RecordedRequest[];
  /** Connections accepted so far. */
  readonly connections: () => number;
  /** What it answers from now on. A function that returns undefined has answered by `raw.response` itself. */
  answer(with_: Answer | Respond): void;
}

/** A plain HTTP(S) origin on node:http that records each request and answers 200 `origin\n` until told otherwise. */
export async function startOrigin({
  tls,
  answer = {},
}: {
  tls?: TlsFiles;
  answer?: Answer | Respond;
} = {}): Promise<Origin> {
  let current = answer;
  const requests: RecordedRequest[] = [];
  const numbers = new WeakMap<Socket, number>();
  let connections = 0;
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return; // The client went away in the middle of its body.
    }
    const recorded: RecordedRequest = {
      method: request.method ?? '',
      url: request.url ?? '',
      httpVersion: request.httpVersion,
      headers: request.headers,
      rawHeaders: request.rawHeaders,
      body: Buffer.concat(chunks),
      connection: numbers.get(request.socket) ?? 0,
    };
    requests.push(recorded);
    const reply = typeof current === 'function' ? await current(recorded, { request, response }) : current;
    if (!reply) return;
    const { status = 200, headers = {}, body = 'origin\n' } = reply;
    response.writeHead(status, headers);
    if (typeof body === 'string' || body instanceof Uint8Array) {
      response.end(body);
      return;
    }
    for (const piece of body) response.write(piece);
    response.end();
  };
  const server = tls ? createTlsHttp(tls, handle) : createServer(handle);
  server.keepAliveTimeout = 60_000;
  server.on(tls ? 'secureConnection' : 'connection', (socket: Socket) => {
    numbers.set(socket, ++connections);
  });
  const listening = await listen(server as unknown as Server);
  return {
    ...listening,
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${listening.port}`,
    requests,
    connections: () => connections,
    answer(with_) {
      current = with_;
    },
  };
}

export interface RawConnection {
  readonly socket: Socket;
  /** All bytes received so far. */
  received(): Buffer;
  /** Set once the client ended its side. */
  ended: boolean;
  closed: boolean;
}

export interface RawOrigin extends Listening {
  readonly connections: RawConnection[];
  /** The bytes of all connections, joined. */
  received(): Buffer;
}

/**
 * An origin that speaks bytes. `onData` is called after each piece with the connection (and what it received in all);
 * write to `socket` whatever the case needs. `reply`: these bytes are sent each time a blank line arrives.
 */
export async function startRawOrigin(
  behave: {
    reply?: string | Uint8Array;
    onConnection?: (connection: RawConnection) => void;
    onData?: (connection: RawConnection, chunk: Buffer) => void;
  } = {},
): Promise<RawOrigin> {
  const connections: RawConnection[] = [];
  const server = createTcp({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const chunks: Buffer[] = [];
    const connection: RawConnection = { socket, received: () => Buffer.concat(chunks), ended: false, closed: false };
    connections.push(connection);
    behave.onConnection?.(connection);
    let answered = 0;
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      behave.onData?.(connection, chunk);
      if (behave.reply === undefined) return;
      const text = connection.received().toString('latin1');
      for (let at = text.indexOf('\r\n\r\n', answered); at >= 0; at = text.indexOf('\r\n\r\n', answered)) {
        answered = at + 4;
        socket.write(behave.reply);
      }
    });
    socket.on('end', () => {
      connection.ended = true;
    });
    socket.on('close', () => {
      connection.closed = true;
    });
    socket.on('error', () => {});
  });
  const listening = await listen(server);
  return {
    ...listening,
    connections,
    received: () => Buffer.concat(connections.map((connection) => connection.received())),
  };
}
