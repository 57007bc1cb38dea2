import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { type TestContext, test } from 'node:test';
import { createTcpServer } from '@arcus/gateway/tcp/tcp.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { Sockets } from './process-sockets.ts';

/** Stands for a process: listens on what it gets, here. */
class Peer {
  readonly servers = new Map<object, net.Server>();
  readonly lent: (object | null)[] = [];
  accepted = 0;

  listen(handle: object): Promise<unknown> {
    const server = createTcpServer((stream) => {
      this.accepted++;
      stream.destroy();
    });
    this.servers.set(handle, server);
    server.listen(handle, 16);
    return once(server, 'listening');
  }
}

function setUp(t: TestContext, reusePort = true) {
  const peers = [new Peer(), new Peer()];
  const alive = new Set(peers);
  const sockets = new Sockets<Peer>({
    reusePort,
    standIn: (slot) => peers.find((peer, at) => at !== slot && alive.has(peer)),
    lend: (peer, _address, handle) => peer.lent.push(handle),
  });
  t.after(() => {
    sockets.close();
    for (const peer of peers) sockets.gone(peer);
  });
  return { sockets, peers, alive };
}
const refused = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', () => resolve(true));
  });

test('each process has a socket of its own for an address, and keeps it over the death of its user', async (t) => {
  const { sockets, peers, alive } = setUp(t);
  const listen = { host: '127.0.0.1', port: await freePort() };
  const [a, b] = [await sockets.open(listen, 0, peers[0]!), await sockets.open(listen, 1, peers[1]!)];
  assert.notEqual(a, b);
  alive.delete(peers[0]!);
  sockets.gone(peers[0]!);
  assert.deepEqual(peers[1]!.lent, [a]);
  const successor = new Peer();
  assert.equal(await sockets.open(listen, 0, successor), a);
  sockets.settle(0);
  assert.deepEqual(peers[1]!.lent, [a, null]);
  sockets.gone(successor);
});

test('what the successor of a dead process does not want is closed', async (t) => {
  const { sockets, peers } = setUp(t);
  const listen = { host: '127.0.0.1', port: await freePort() };
  await peers[0]!.listen(await sockets.open(listen, 0, peers[0]!));
  sockets.gone(peers[0]!);
  assert.equal(await refused(listen.port), false);
  sockets.settle(0);
  assert.equal(sockets.size, 0);
});

test('an address is given up with its last user, and another may have it', async (t) => {
  const { sockets, peers } = setUp(t);
  const listen = { host: '127.0.0.1', port: await freePort() };
  const address = `127.0.0.1:${listen.port}`;
  await sockets.open(listen, 0, peers[0]!);
  await sockets.open(listen, 1, peers[1]!);
  sockets.release(address, peers[0]!);
  assert.equal(sockets.size, 1);
  sockets.release(address, peers[1]!);
  assert.equal(sockets.size, 0);
  assert.equal(await refused(listen.port), true);
});

test('an address that cannot be had is told with the code of the system', async (t) => {
  const { sockets, peers } = setUp(t);
  const port = await freePort();
  const stranger = net.createServer().listen(port, '127.0.0.1');
  await once(stranger, 'listening');
  t.after(() => stranger.close());
  await assert.rejects(sockets.open({ host: '127.0.0.1', port }, 0, peers[0]!), { code: 'EADDRINUSE' });
  await assert.rejects(sockets.open({ host: '192.0.2.1', port }, 0, peers[0]!), { code: 'EADDRNOTAVAIL' });
  assert.equal(sockets.size, 0);
});

test('where addresses cannot be shared all processes accept on one socket', async (t) => {
  const { sockets, peers } = setUp(t, false);
  const listen = { host: '127.0.0.1', port: await freePort() };
  const [a, b] = [await sockets.open(listen, 0, peers[0]!), await sockets.open(listen, 1, peers[1]!)];
  assert.equal(a, b);
  sockets.gone(peers[0]!);
  assert.deepEqual(peers[1]!.lent, []);
  const successor = new Peer();
  assert.equal(await sockets.open(listen, 0, successor), b);
  sockets.gone(peers[1]!);
  assert.equal(sockets.size, 1);
  sockets.gone(successor);
});
