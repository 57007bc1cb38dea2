import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import {
  attachSession,
  createRedisCommandExecutor,
  RedisServerState,
  SocketConnectionTransport,
} from 'js-redis-server/core';

export interface EmbeddedRedis {
  /** `redis://:<password>@127.0.0.1:<port>` */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * A server that speaks Redis' protocol inside this process, in memory: for the embedded mode only. It is put together
 * from parts because the package's own server listens on every interface, without a password.
 */
export async function startEmbeddedRedis(): Promise<EmbeddedRedis> {
  const password = randomBytes(24).toString('base64url');
  const state = new RedisServerState({ databaseCount: 16, requirepass: password });
  const executor = createRedisCommandExecutor();
  const sockets = new Set<Socket>();
  const server = createServer({ keepAlive: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    void attachSession(new SocketConnectionTransport(socket), {
      state,
      executor,
      clientAddress: `${socket.remoteAddress}:${socket.remotePort}`,
    }).done;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `redis://:${password}@127.0.0.1:${port}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
      state.close();
    },
  };
}
