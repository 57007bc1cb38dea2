import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, describe, it } from 'node:test';
import { freePort } from '@arcus/testkit/port.ts';
import { until } from '@arcus/testkit/until.ts';
import type { ByteStream, StreamReceiver } from '../stream.ts';
import { internals } from './internals.ts';
import { handleTransport, socketTransport, type Transport } from './tcp.ts';

const closers: (() => unknown)[] = [];
after(() => {
  for (const close of closers) close();
});

/** Writes down what a stream tells. */
class Recorder implements StreamReceiver {
  readonly got: Buffer[] = [];
  size = 0;
  ended = 0;
  drained = 0;
  closed: (Error | null)[] = [];
  onData(chunk: Buffer): void {
    this.got.push(Buffer.from(chunk));
    this.size += chunk.length;
  }
  onEnd(): void {
    this.ended++;
  }
  onDrain(): void {
    this.drained++;
  }
  onClose(error: Error | null): void {
    this.closed.push(error);
  }
  get text(): string {
    return Buffer.concat(this.got).toString('latin1');
  }
}

interface Pair {
  stream: ByteStream;
  heard: Recorder;
  /** The other end, which reads nothing until it is resumed. */
  peer: net.Socket;
}

function record(stream: ByteStream): Recorder {
  const heard = new Recorder();
  stream.receiver = heard;
  closers.push(() => stream.destroy());
  return heard;
}

function quiet(socket: net.Socket): net.Socket {
  socket.on('error', () => {});
  closers.push(() => socket.destroy());
  return socket;
}

async function accepted(transport: Transport, host = '127.0.0.1', dial = host): Promise<Pair> {
  let stream: ByteStream | undefined;
  let heard: Recorder | undefined;
  const server = transport.server((one) => {
    stream = one;
    heard = record(one);
  });
  server.listen(0, host);
  await once(server, 'listening');
  closers.push(() => server.close());
  const { port } = server.address() as net.AddressInfo;
  const peer = quiet(net.connect({ port, host: dial, allowHalfOpen: true }));
  await once(peer, 'connect');
  await until(() => stream);
  return { stream: stream!, heard: heard!, peer };
}

function connect(transport: Transport, options: Parameters<Transport['connect']>[0]): Promise<ByteStream> {
  return new Promise((resolve, reject) => {
    transport.connect(options, (error, stream) => (error ? reject(error) : resolve(stream!)));
  });
}

async function dialled(transport: Transport): Promise<Pair> {
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => server.close());
  const coming = once(server, 'connection');
  const stream = await connect(transport, { host: '127.0.0.1', port: (server.address() as net.AddressInfo).port });
  const heard = record(stream);
  const [peer] = (await coming) as [net.Socket];
  return { stream, heard, peer: quiet(peer) };
}

function gather(socket: net.Socket) {
  const got = { bytes: [] as Buffer[], size: 0, ended: false };
  socket.on('data', (chunk) => {
    got.bytes.push(chunk);
    got.size += chunk.length;
  });
  socket.on('end', () => {
    got.ended = true;
  });
  socket.resume();
  return got;
}

const codeOf = (error: Error | null | undefined) => (error as NodeJS.ErrnoException | null)?.code;

for (const [kind, transport] of [
  ['handles', handleTransport],
  ["Node's streams", socketTransport],
] as const) {
  describe(`TCP by ${kind}`, () => {
    for (const [how, open] of [
      ['accepted', accepted],
      ['dialled', dialled],
    ] as const) {
      it(`carries text and bytes both ways, in order (${how})`, async () => {
        const { stream, heard, peer } = await open(transport);
        assert.equal(stream.remoteAddress, '127.0.0.1');
        assert.equal(stream.remotePort, how === 'accepted' ? peer.localPort : (peer.address() as net.AddressInfo).port);
        const got = gather(peer);
        stream.write('h\xe9ad\r\n');
        stream.write('more');
        stream.write(Buffer.from('body'));
        stream.writeBoth('head', Buffer.from('tail'));
        stream.write('end');
        await until(() => got.size === 25);
        assert.equal(Buffer.concat(got.bytes).toString('latin1'), 'h\xe9ad\r\nmorebodyheadtailend');
        peer.write('answer');
        await until(() => heard.size === 6);
        assert.equal(heard.text, 'answer');
        assert.equal(stream.blocked, false);
      });

      it(`passes a FIN on in each direction on its own, then is closed once (${how})`, async () => {
        const { stream, heard, peer } = await open(transport);
        const got = gather(peer);
        peer.end('last words');
        await until(() => heard.ended);
        assert.equal(heard.text, 'last words');
        assert.equal(stream.destroyed, false);
        stream.write('still here');
        stream.end();
        await until(() => got.ended);
        assert.equal(Buffer.concat(got.bytes).toString(), 'still here');
        await until(() => heard.closed.length);
        assert.deepEqual([heard.closed, heard.ended, stream.destroyed], [[null], 1, true]);
      });
    }

    it('says its FIN first and hears the rest', async () => {
      const { stream, heard, peer } = await accepted(transport);
      const got = gather(peer);
      stream.write('question');
      stream.end();
      stream.end();
      await until(() => got.ended);
      peer.write('late answer');
      await until(() => heard.size === 11);
      assert.equal(stream.destroyed, false);
      peer.end();
      await until(() => heard.closed.length);
      assert.deepEqual([heard.closed, heard.ended], [[null], 1]);
    });

    it('says when a part of a write waits, and once when all has gone', async () => {
      const { stream, heard, peer } = await accepted(transport);
      const size = 1024 * 1024;
      let count = 0;
      while (stream.write(Buffer.alloc(size, count))) {
        count++;
        assert.ok(count < 100);
      }
      count++;
      assert.equal(stream.blocked, true);
      assert.equal(stream.write('the end'), false);
      assert.equal(stream.writeBoth('really ', Buffer.from('the end')), false);
      assert.equal(heard.drained, 0);
      const before = await stream.taken();
      const got = gather(peer);
      await until(() => got.size === count * size + 21, { deadline: 60_000 });
      await until(() => heard.drained);
      assert.ok((await stream.taken()) > before);
      assert.equal(heard.drained, 1);
      assert.equal(stream.blocked, false);
      const all = Buffer.concat(got.bytes);
      for (let i = 0; i < count; i++) assert.equal(all[(i + 1) * size - 1], i);
      assert.equal(all.subarray(-21).toString(), 'the endreally the end');
    });

    it('delivers what waits before its FIN', async () => {
      for (const peerFirst of [false, true]) {
        const { stream, heard, peer } = await accepted(transport);
        if (peerFirst) {
          peer.end();
          await until(() => heard.ended);
        }
        const size = 16 * 1024 * 1024;
        assert.equal(stream.write(Buffer.alloc(size)), false);
        stream.end();
        const got = gather(peer);
        await until(() => got.ended, { deadline: 60_000 });
        assert.equal(got.size, size);
        if (!peerFirst) peer.end();
        await until(() => heard.closed.length);
        assert.deepEqual(heard.closed, [null]);
      }
    });

    it('tells a reset from a FIN, both ways', async () => {
      const one = await accepted(transport);
      one.peer.resetAndDestroy();
      await until(() => one.heard.closed.length);
      assert.equal(codeOf(one.heard.closed[0]), 'ECONNRESET');
      assert.equal(one.heard.ended, 0);

      for (const fin of [false, true]) {
        const two = await accepted(transport);
        let error: Error | undefined;
        two.peer.on('error', (e) => {
          error = e;
        });
        two.peer.resume();
        two.stream.write('x');
        if (fin) {
          two.stream.end();
          await once(two.peer, 'end');
        }
        two.stream.reset();
        assert.equal(two.stream.destroyed, true);
        await until(() => two.heard.closed.length);
        assert.deepEqual(two.heard.closed, [null]);
        if (!fin) await until(() => error);
        if (!fin) assert.equal(codeOf(error), 'ECONNRESET');
      }
    });

    it('is freed when it is reset while its FIN waits', async () => {
      const { stream, heard } = await accepted(transport);
      stream.write(Buffer.alloc(16 * 1024 * 1024));
      stream.end();
      stream.reset();
      await until(() => heard.closed.length);
      assert.equal(heard.drained, 0);
    });

    it('ends with an error that names the cause when nobody takes what is written', async () => {
      const { stream, heard, peer } = await accepted(transport);
      stream.pause();
      peer.resetAndDestroy();
      await until(() => {
        stream.write(Buffer.from('x'));
        return heard.closed.length;
      });
      assert.match(String(codeOf(heard.closed[0])), /^(EPIPE|ECONNRESET)$/);
      assert.equal(stream.write('x'), true);
      stream.end();
      stream.destroy();
      stream.reset();
    });

    it('is silent while it is paused', async () => {
      const { stream, heard, peer } = await accepted(transport);
      stream.pause();
      peer.end('hello');
      const other = await accepted(transport);
      other.peer.write('x');
      await until(() => other.heard.size === 1);
      assert.deepEqual([heard.size, heard.ended], [0, 0]);
      stream.resume();
      await until(() => heard.ended);
      assert.equal(heard.text, 'hello');
      stream.pause();
      stream.resume();
      stream.destroy();
      await until(() => heard.closed.length);
      assert.equal(heard.ended, 1);
    });

    it('loses nothing of a long transfer, however often it is paused, and can be closed in the middle', async () => {
      const piece = Buffer.from(Array.from({ length: 64 * 1024 }, (_, i) => i % 251));
      for (const cut of [false, true]) {
        const { stream, heard, peer } = await accepted(transport);
        let size = 0;
        let wrong = 0;
        let pauses = 0;
        stream.receiver = {
          onData(chunk) {
            if (chunk[0] !== piece[size % piece.length]) wrong++;
            size += chunk.length;
            if (chunk.at(-1) !== piece[(size - 1) % piece.length]) wrong++;
            if (cut && size > 20 * 1024 * 1024) stream.destroy();
            else if (++pauses % 3 === 0) {
              stream.pause();
              if (pauses % 2) setImmediate(() => stream.resume());
              else stream.resume();
            }
          },
          onEnd: () => heard.onEnd(),
          onDrain() {},
          onClose: (error) => heard.onClose(error),
        };
        const send = (left: number) => {
          if (left === 0) peer.end();
          // Not all at once: reads that do not fill their buffer are a part of it.
          else if (!peer.destroyed) peer.write(piece, () => setImmediate(send, left - 1));
        };
        send(1000);
        await until(() => (cut ? heard.closed.length : heard.ended), { deadline: 60_000 });
        assert.equal(wrong, 0);
        if (!cut) assert.equal(size, 1000 * piece.length);
      }
    });

    it('sends what was written before it is destroyed', async () => {
      const { stream, heard, peer } = await accepted(transport);
      const got = gather(peer);
      stream.write('bye');
      stream.destroy();
      assert.equal(stream.destroyed, true);
      await until(() => got.ended);
      assert.equal(Buffer.concat(got.bytes).toString(), 'bye');
      await until(() => heard.closed.length);
      assert.deepEqual(heard.closed, [null]);
    });

    it('writes an IPv4 address that came as IPv6 as what it is', async () => {
      const { stream } = await accepted(transport, '::', '127.0.0.1');
      assert.equal(stream.remoteAddress, '127.0.0.1');
    });

    it('says why it could not connect', async () => {
      const port = await freePort();
      await assert.rejects(connect(transport, { host: '127.0.0.1', port }), { code: 'ECONNREFUSED' });
      await assert.rejects(connect(transport, { host: '127.0.0.1', port, localAddress: '192.0.2.1' }), {
        code: 'EADDRNOTAVAIL',
      });
    });

    it('connects from the address that it is told', async () => {
      const server = net.createServer((socket) => socket.end(String(socket.remoteAddress)));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      closers.push(() => server.close());
      const { port } = server.address() as net.AddressInfo;
      const heard = record(await connect(transport, { host: '127.0.0.1', port, localAddress: '127.0.0.9' }));
      await until(() => heard.ended);
      assert.equal(heard.text, '127.0.0.9');
    });

    it('is not heard of again when it is given up', async () => {
      const { peer } = await accepted(transport);
      const port = peer.remotePort!;
      const cancel = transport.connect({ host: '127.0.0.1', port }, () => assert.fail('it was given up'));
      cancel();
      cancel();
      const stream = await connect(transport, { host: '127.0.0.1', port });
      record(stream);
    });
  });
}

it('this Node has handles to offer', () => {
  assert.notEqual(internals, null);
});
