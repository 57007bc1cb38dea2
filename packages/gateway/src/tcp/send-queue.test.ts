import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { it } from 'node:test';
import { until } from '@arcus/testkit/until.ts';
import { sendQueue } from './send-queue.ts';

const fdOf = (socket: net.Socket) => (socket as unknown as { _handle: { fd: number } })._handle.fd;

for (const [listen, host, ipv6] of [
  ['127.0.0.1', '127.0.0.1', false],
  ['::1', '::1', true],
  ['::', '127.0.0.1', false],
] as const) {
  it(`tells what a peer has not taken (${host} at ${listen})`, async (t) => {
    const server = net.createServer().listen(0, listen);
    await once(server, 'listening');
    const client = net.connect((server.address() as net.AddressInfo).port, host);
    const [peer] = (await once(server, 'connection')) as [net.Socket];
    t.after(() => {
      client.destroy();
      peer.destroy();
      server.close();
    });
    peer.pause();
    assert.equal(await sendQueue(fdOf(client), ipv6), 0);
    const size = 32 * 1024 * 1024;
    client.write(Buffer.alloc(size));
    const held = await until(() => sendQueue(fdOf(client), ipv6));
    assert.ok(held < size);
    let got = 0;
    peer.on('data', (chunk: Buffer) => {
      got += chunk.length;
    });
    peer.resume();
    await until(async () => got === size && (await sendQueue(fdOf(client), ipv6)) === 0);
    // The accepting side of a socket for both families is in the other table.
    assert.equal(await sendQueue(fdOf(peer), listen !== '127.0.0.1'), 0);
  });
}

it('knows nothing of a socket that is closed', async () => {
  assert.equal(await sendQueue(-1, false), 0);
});
