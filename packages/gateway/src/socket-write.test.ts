import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, describe, it } from 'node:test';
import { until } from '@arcus/testkit/until.ts';
import { writeBySocket, writeNow } from './socket-write.ts';

const closers: (() => unknown)[] = [];
after(() => {
  for (const close of closers) close();
});

/** Two ends of a connection; `there` reads nothing until it is told to. */
async function pair(): Promise<{ here: net.Socket; there: net.Socket }> {
  const server = net.createServer({ pauseOnConnect: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => server.close());
  const here = net.connect({ port: (server.address() as net.AddressInfo).port, host: '127.0.0.1' });
  const [there] = (await once(server, 'connection')) as [net.Socket];
  if (here.connecting) await once(here, 'connect');
  closers.push(
    () => here.destroy(),
    () => there.destroy(),
  );
  here.on('error', () => {});
  there.on('error', () => {});
  return { here, there };
}

function gather(socket: net.Socket): { bytes: Buffer[]; size: number } {
  const got = { bytes: [] as Buffer[], size: 0 };
  socket.on('data', (chunk) => {
    got.bytes.push(chunk);
    got.size += chunk.length;
  });
  socket.resume();
  return got;
}

for (const [way, write] of [
  ['past the stream machinery', writeNow],
  ["by the socket's own means", writeBySocket],
] as const) {
  describe(`a write ${way}`, () => {
    it('brings text and bytes to the peer, in order', async () => {
      const { here, there } = await pair();
      const got = gather(there);
      const writer = { written: () => assert.fail('nothing waited') };
      assert.equal(write(here, 'h\xe9ad\r\n', writer), true);
      assert.equal(write(here, Buffer.from('body'), writer), true);
      await until(() => got.size === 10);
      assert.equal(Buffer.concat(got.bytes).toString('latin1'), 'h\xe9ad\r\nbody');
    });

    it('says when a part of it waits, and when that has gone; what is written meanwhile follows', async () => {
      const { here, there } = await pair();
      let written = 0;
      const writer = { written: () => written++ };
      const chunk = Buffer.alloc(1024 * 1024);
      let size = 0;
      let calls = 0;
      let flushed = true;
      while (flushed) {
        chunk.fill(calls);
        flushed = write(here, Buffer.from(chunk), writer);
        size += chunk.length;
        calls++;
        assert.ok(calls < 100);
      }
      assert.equal(write(here, 'the end', writer), false);
      assert.equal(written, 0);
      const got = gather(there);
      await until(() => got.size === size + 7);
      await until(() => written === 2);
      const all = Buffer.concat(got.bytes);
      for (let i = 0; i < calls; i++) assert.equal(all[(i + 1) * chunk.length - 1], i);
      assert.equal(all.subarray(-7).toString(), 'the end');
    });

    it('on a socket whose peer has reset it ends that socket with an error that names the cause', async () => {
      const { here, there } = await pair();
      here.pause();
      there.resetAndDestroy();
      const closed = new Promise((resolve) => here.once('close', resolve));
      let error: NodeJS.ErrnoException | null = null;
      here.once('error', (e) => {
        error = e;
      });
      await until(() => {
        if (!here.destroyed) write(here, 'x', { written() {} });
        return here.destroyed;
      });
      await closed;
      assert.match(String((error as NodeJS.ErrnoException | null)?.code), /^(EPIPE|ECONNRESET)$/);
      assert.equal(write(here, 'x', { written() {} }), true);
    });
  });
}

describe('this Node', () => {
  it('has what a write past the stream machinery takes', async () => {
    const { here, there } = await pair();
    const got = gather(there);
    here.write = () => assert.fail('it went through the stream machinery');
    writeNow(here, 'x', { written() {} });
    await until(() => got.size === 1);
  });
});
