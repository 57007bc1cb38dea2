/** Where connections come from: a listening server, or a dial. */
import net from 'node:net';
import type { ByteStream } from '../stream.ts';
import { HandleStream } from './handle-stream.ts';
import { internals, type ServerHandle } from './internals.ts';
import { SocketStream } from './socket-stream.ts';

export interface ConnectOptions {
  /** An IP address. */
  host: string;
  port: number;
  localAddress?: string | undefined;
}

/** Of the two kinds of streams. */
export interface Transport {
  server(onStream: (stream: ByteStream) => void): net.Server;
  connect(options: ConnectOptions, ready: (error: Error | null, stream: ByteStream | null) => void): () => void;
}

const serverOptions = { allowHalfOpen: true, noDelay: true, pauseOnConnect: true } as const;

/** Node's own streams. */
export const socketTransport: Transport = {
  server: (onStream) => net.createServer(serverOptions, (socket) => onStream(new SocketStream(socket))),
  connect: SocketStream.connect,
};

/** Sockets without streams on top of them. */
export const handleTransport: Transport = {
  server(onStream) {
    const server = socketTransport.server(onStream);
    // Before the first connection: it is accepted in a later turn.
    server.on('listening', () => {
      const { _handle: handle } = server as unknown as { _handle: ServerHandle | null };
      if (handle === null) return;
      handle.onconnection = (error, client) => {
        if (error) server.emit('error', HandleStream.error('accept', error));
        else onStream(HandleStream.accept(client));
      };
    });
    return server;
  },
  connect: HandleStream.connect,
};

const transport = internals === null ? socketTransport : handleTransport;

/** A server that is not listening yet; each connection is given to `onStream`, which takes it or destroys it. */
export const createTcpServer = transport.server;

/**
 * Starts a connection; `ready` is called once, later, with the stream or the error (`code` as Node has it). Cancel with
 * the returned function: then it is not called any more.
 */
export const connectTcp = transport.connect;
