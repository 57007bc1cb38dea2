/** Peers that take what is written slowly but steadily have all the time they need; who stops is let go of. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, describe, it } from 'node:test';
import type { Escaper } from '@arcus/gateway/kind.ts';
import { Relay } from '@arcus/gateway/relay.ts';
import { startTestProxy, type TestProxyOptions } from '@arcus/gateway/testing/proxy.ts';
import { tunnelEgress } from '@arcus/gateway/upstream/pool.ts';
import { Wheel } from '@arcus/gateway/wheel.ts';
import { startRawOrigin } from '@arcus/testkit/origin.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { until } from '@arcus/testkit/until.ts';
import { MemoryStream } from './lib/memory.ts';

const closers: (() => unknown)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});
async function proxy(idle: number, options: TestProxyOptions = {}) {
  const limits = { body_idle_ms: idle, response_head_ms: idle };
  const p = await startTestProxy({ tickMs: 5, ...options, server: { limits, ...options.server } });
  closers.push(() => p.close());
  return p;
}
const origin = async (...args: Parameters<typeof startRawOrigin>) => {
  const o = await startRawOrigin(...args);
  closers.push(() => o.close());
  return o;
};
const ask = (port: number, method: string, ...fields: string[]) =>
  `${method} http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: x\r\n${fields.map((f) => `${f}\r\n`).join('')}\r\n`;
const BODY = Buffer.alloc(16 * 1024 * 1024, 'x');
const answer = Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${BODY.length}\r\n\r\n`), BODY]);
/**
 * Takes a piece now and then, fast enough for the kernel to tell of it in time (it opens a window in steps of a few hundred
 * KiB), and slowly enough for a write to wait longer than that for room (a third of 4 MiB). Goes on until it has `most` bytes;
 * answers how many it has.
 */
async function sip(socket: net.Socket, most: number, gone: () => boolean): Promise<number> {
  let got = 0;
  await until(
    () => {
      got += (socket.read(Math.min(32 * 1024, socket.readableLength)) as Buffer | null)?.length ?? 0;
      return got >= most || gone();
    },
    { deadline: 60_000 },
  );
  return got;
}

/** Its peer takes some of what is written at each look, as long as it does. */
class SteadyStream extends MemoryStream {
  steady = true;
  looks = 0;
  full = false;
  override get blocked(): boolean {
    return this.full;
  }
  override write(chunk: Uint8Array | string): boolean {
    super.write(chunk);
    this.full = true;
    return false;
  }
  override async taken(): Promise<number> {
    if (this.steady) this.looks++;
    return this.looks;
  }
}
const through = (stream: MemoryStream): Escaper => ({
  name: 'steady',
  type: 'direct',
  connect: () => tunnelEgress(stream, 'steady', ''),
});

describe('on real sockets', () => {
  it('a client that reads an answer slowly gets all of it', async () => {
    const site = await origin({ onData: ({ socket }) => void socket.write(answer) });
    const p = await proxy(1000);
    const socket = net.connect({ port: p.port, host: '127.0.0.1' });
    closers.push(() => socket.destroy());
    let gone = false;
    socket.on('error', () => {});
    socket.on('close', () => {
      gone = true;
    });
    socket.on('readable', () => {});
    socket.write(ask(site.port, 'GET'));
    let got = await sip(socket, 2 * 1024 * 1024, () => gone);
    assert.equal(p.decisions.length, 0);
    socket.removeAllListeners('readable');
    socket.on('data', (chunk) => {
      got += chunk.length;
    });
    socket.resume();
    await until(() => p.decisions.length === 1 && got > BODY.length, { deadline: 60_000 });
    assert.equal(p.decisions[0]!.code, '');
  });

  it('a site that takes an upload slowly gets all of it', async () => {
    const site = await origin({ onConnection: ({ socket }) => void socket.pause() });
    const p = await proxy(1000);
    const c = await RawClient.connect({ port: p.port, deadline: 60_000 });
    closers.push(() => c.socket.destroy());
    c.socket.write(ask(site.port, 'POST', `Content-Length: ${BODY.length}`));
    c.socket.write(BODY);
    await until(() => site.connections.length === 1);
    const { socket } = site.connections[0]!;
    socket.removeAllListeners('data');
    socket.on('readable', () => {});
    let got = await sip(socket, 2 * 1024 * 1024, () => p.decisions.length > 0);
    assert.equal(p.decisions.length, 0);
    socket.removeAllListeners('readable');
    socket.on('data', (chunk: Buffer) => {
      got += chunk.length;
      if (got > BODY.length) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    });
    socket.resume();
    assert.equal((await c.readResponse()).status, 200);
  });

  it("a client that takes nothing more is cut, and it is not the site's fault", async () => {
    const site = await origin({ onData: ({ socket }) => void socket.write(answer) });
    const p = await proxy(200);
    const socket = net.connect({ port: p.port, host: '127.0.0.1' });
    closers.push(() => socket.destroy());
    socket.on('error', () => {});
    socket.pause();
    socket.write(ask(site.port, 'GET'));
    await until(() => p.decisions.length === 1);
    assert.equal(p.decisions[0]!.code, 'client_stalled');
    socket.resume();
    await until(() => socket.closed);
  });

  it('a site that takes nothing more of an upload is 504', async () => {
    const site = await origin({ onConnection: ({ socket }) => void socket.pause() });
    const p = await proxy(200);
    const c = await RawClient.connect({ port: p.port, deadline: 60_000 });
    closers.push(() => c.socket.destroy());
    c.socket.write(ask(site.port, 'POST', `Content-Length: ${BODY.length}`));
    c.socket.write(BODY);
    assert.equal((await c.readResponse()).status, 504);
    assert.equal(p.decisions[0]!.code, 'response_timeout');
  });
});

describe('a look at what was taken', () => {
  it('gives a client time for the rest of its last answer', async () => {
    const p = await proxy(100);
    const stream = new SteadyStream('192.0.2.1');
    p.binding.server!.serve(stream, p.binding);
    stream.feed('GET / HTTP/1.1\r\n\r\n');
    assert.equal(stream.state, 'closed');
    await until(() => stream.looks >= 4);
    assert.ok(!stream.destroyed);
    stream.steady = false;
    await until(() => stream.destroyed);
  });

  it('gives a site time for the last piece of a request, and the client has its own for the answer', async () => {
    const upstream = new SteadyStream('192.0.2.9');
    const p = await proxy(100, { escaper: through(upstream) });
    const client = new MemoryStream('192.0.2.1');
    p.binding.server!.serve(client, p.binding);
    client.feed(`${ask(80, 'POST', 'Content-Length: 4')}body`);
    await until(() => upstream.looks >= 4);
    assert.equal(client.written, '');
    upstream.full = false;
    upstream.receiver.onDrain();
    await until(() => client.written.startsWith('HTTP/1.1 504 '));
    assert.equal(p.decisions[0]!.code, 'response_timeout');
  });

  it('keeps a tunnel open while something is taken', async () => {
    const wheel = new Wheel(5);
    closers.push(() => wheel.close());
    const [a, b] = [new SteadyStream('192.0.2.1'), new MemoryStream('192.0.2.9')];
    let reason: string | undefined;
    new Relay(a, b, {
      ...{ wheel, idleMs: 50, moved: () => {} },
      done: (why) => {
        reason = why;
      },
    });
    b.feed('much');
    await until(() => a.looks >= 4);
    assert.equal(reason, undefined);
    a.steady = false;
    await until(() => reason === 'idle');
  });
});
