/** Clients that read slowly, or never: they lose nothing, and nobody else pays for it. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, describe, it } from 'node:test';
import type { HttpServer } from '@arcus/gateway/http/connection.ts';
import { startTestProxy, type TestProxyOptions } from '@arcus/gateway/testing/proxy.ts';
import { tunnelEgress } from '@arcus/gateway/upstream/pool.ts';
import type { WheelEntry } from '@arcus/gateway/wheel.ts';
import { startOrigin, startRawOrigin } from '@arcus/testkit/origin.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { until } from '@arcus/testkit/until.ts';
import { MemoryStream } from './lib/memory.ts';

const closers: (() => unknown)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});
async function proxy(options?: TestProxyOptions) {
  const p = await startTestProxy(options);
  closers.push(() => p.close());
  return p;
}
function reader(port: number) {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  closers.push(() => socket.destroy());
  socket.on('error', () => {});
  socket.pause();
  return socket;
}
/** Its peer takes nothing of what is written. */
class SlowStream extends MemoryStream {
  full = false;
  override get blocked(): boolean {
    return this.full;
  }
  override write(chunk: Uint8Array | string): boolean {
    super.write(chunk);
    this.full = true;
    return false;
  }
}
/** Resolves once the value has stopped changing. */
async function settled(value: () => number): Promise<number> {
  let last = -1;
  let same = 0;
  await until(
    () => {
      const now = value();
      same = now === last ? same + 1 : 0;
      last = now;
      return now > 0 && same === 20;
    },
    { deadline: 60_000 },
  );
  return last;
}
const get = (port: number, ...fields: string[]) =>
  `GET http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: x\r\n${fields.map((f) => `${f}\r\n`).join('')}\r\n`;

describe('a client that does not read', () => {
  it('gets no further answers made for it, however many it asks for', async () => {
    const body = Buffer.alloc(30_000, 'x');
    const site = await startRawOrigin({
      reply: Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`), body]),
    });
    closers.push(() => site.close());
    const p = await proxy();
    const socket = reader(p.port);
    const total = 3000;
    socket.write(get(site.port).repeat(total));
    const asked = await settled(() => p.decisions.length);
    assert.ok(asked < total / 2, `${asked} of ${total} answers were fetched for nobody`);
    let got = 0;
    socket.on('data', (chunk) => {
      got += chunk.length;
    });
    socket.resume();
    await until(() => got > total * body.length && p.decisions.length === total, { deadline: 60_000 });
  });

  it('gets no further refusals made for it either', async () => {
    const p = await proxy();
    const socket = reader(p.port);
    const total = 60_000;
    socket.write('GET http://nowhere.example/ HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(total));
    const asked = await settled(() => p.decisions.length);
    assert.ok(asked < total, `all ${total} refusals pile up`);
  });

  it('is not flooded with 1xx', async () => {
    const flood = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'.repeat(1_000_000));
    const site = await startRawOrigin({ onConnection: ({ socket }) => void socket.write(flood) });
    closers.push(() => site.close());
    const p = await proxy();
    const socket = reader(p.port);
    socket.write(get(site.port));
    await until(() => site.connections.length === 1);
    const there = site.connections[0]!.socket;
    const left = await settled(() => there.writableLength);
    assert.ok(left > 0, 'the whole flood was taken from the site');
  });
});

it('clients that do not read hold little memory each', async () => {
  const big = Buffer.alloc(32 * 1024 * 1024);
  const site = await startRawOrigin({
    onData({ socket }) {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${big.length}\r\n\r\n`);
      socket.write(big);
    },
  });
  closers.push(() => site.close());
  const p = await proxy();
  const before = process.memoryUsage().arrayBuffers;
  const count = 40;
  for (let i = 0; i < count; i++) reader(p.port).write(get(site.port));
  await until(() => site.connections.length === count);
  const left = await settled(() => site.connections.reduce((n, { socket }) => n + socket.writableLength, 0));
  assert.ok(left > 0);
  const each = (process.memoryUsage().arrayBuffers - before) / count / 1024;
  assert.ok(each < 100, `${each.toFixed(0)} KiB for each`);
});

describe('a client that reads slowly', () => {
  it('has as long for the rest of its last answer as for a body, and a moment once all has left', async () => {
    const p = await proxy();
    const stream = new SlowStream('192.0.2.1');
    p.binding.server!.serve(stream, p.binding);
    const [connection] = [...p.binding.open] as unknown as WheelEntry[];
    const { wheel } = (p.binding.server as unknown as HttpServer).context.services;
    const left = () => (connection!.due - wheel.tick) * wheel.tickMs;
    stream.feed('GET / HTTP/1.1\r\n\r\n');
    assert.equal(stream.state, 'closed');
    assert.ok(left() > 30_000, `${left()} ms for what is not read yet`);
    stream.full = false;
    stream.receiver.onDrain();
    assert.ok(left() < 10_000, `${left()} ms although all has left`);
    stream.feedEnd('fin');
  });

  it('may send the next request after a body that the site took slowly', async () => {
    const site = await startOrigin({ answer: (request) => ({ body: String(request.body.length) }) });
    closers.push(() => site.close());
    const p = await proxy();
    const c = await RawClient.connect({ port: p.port, deadline: 60_000 });
    closers.push(() => c.socket.destroy());
    for (let i = 0; i < 3; i++) {
      const body = Buffer.alloc(5_000_000 + i);
      c.socket.write(`POST ${site.url}/ HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`);
      c.socket.write(body);
      assert.equal((await c.readResponse()).text, String(body.length));
    }
    assert.equal(site.connections(), 1);
  });
});

describe('a client that is gone', () => {
  const head = 'POST http://o.example/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n';
  const uploads: [string, string[]][] = [
    ['with its head', [`${head}body`]],
    ['behind its head', [head, 'body']],
  ];
  for (const [how, pieces] of uploads) {
    it(`is noticed though the last piece of its body, sent ${how}, had to wait for the site`, async () => {
      const upstream = new SlowStream('192.0.2.9');
      const p = await proxy({
        escaper: { name: 'slow', type: 'direct', connect: () => tunnelEgress(upstream, 'slow', '') },
      });
      const client = new MemoryStream('192.0.2.1');
      p.binding.server!.serve(client, p.binding);
      for (const piece of pieces) client.feed(piece);
      assert.ok(upstream.written.endsWith('body'));
      upstream.full = false;
      upstream.receiver.onDrain();
      client.feedEnd('reset');
      await until(() => p.sessions() === 0);
      assert.equal(upstream.state, 'reset');
      assert.equal(p.decisions[0]?.code, 'client_closed');
    });
  }

  it('may not pile up requests meanwhile', async () => {
    const upstream = new SlowStream('192.0.2.9');
    const p = await proxy({
      escaper: { name: 'slow', type: 'direct', connect: () => tunnelEgress(upstream, 'slow', '') },
    });
    const client = new MemoryStream('192.0.2.1');
    p.binding.server!.serve(client, p.binding);
    client.feed(`${head}body${get(80).repeat(2000)}`);
    upstream.full = false;
    upstream.receiver.onDrain();
    let fed = false;
    const fedTo = () => {
      fed = true;
    };
    client.receiver = { onData: fedTo, onEnd() {}, onDrain() {}, onClose() {} };
    client.feed(get(80));
    await new Promise(setImmediate);
    assert.equal(fed, false, 'more is read although a head and more of requests wait');
  });
});
