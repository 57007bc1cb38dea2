import assert from 'node:assert/strict';
import net from 'node:net';
import { after, describe, it } from 'node:test';
import { Relay } from '@arcus/gateway/relay.ts';
import { startTestProxy } from '@arcus/gateway/testing/proxy.ts';
import type { WheelEntry } from '@arcus/gateway/wheel.ts';
import { startRawOrigin } from '@arcus/testkit/origin.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { until } from '@arcus/testkit/until.ts';
import { MemoryStream } from './lib/memory.ts';

const closers: (() => unknown)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});
const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n';
/** Kernel buffers of four sockets, and what the proxy may hold: far less than what is sent. */
const IN_FLIGHT = 24_000_000;
const SIZE = 64_000_000;

async function tunnel(site: { port: number }) {
  const p = await startTestProxy({ server: { connect_ports: [site.port] } });
  closers.push(() => p.close());
  const head = `CONNECT 127.0.0.1:${site.port} HTTP/1.1\r\nHost: x\r\n\r\n`;
  return { p, head };
}
async function client(port: number) {
  const c = await RawClient.connect({ port, deadline: 60_000 });
  closers.push(() => c.socket.destroy());
  return c;
}
async function origin(...args: Parameters<typeof startRawOrigin>) {
  const o = await startRawOrigin(...args);
  closers.push(() => o.close());
  return o;
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

describe('a tunnel', () => {
  it('slows the site down to the client that reads slowly, and loses nothing', async () => {
    const data = Buffer.alloc(SIZE, 'abcdefgh');
    const site = await origin({ onConnection: ({ socket }) => void socket.write(data) });
    const { p, head } = await tunnel(site);
    const reader = net.connect(p.port, '127.0.0.1');
    closers.push(() => reader.destroy());
    reader.pause();
    reader.write(head);
    await until(() => site.connections.length === 1);
    const left = await settled(
      () => site.connections[0]!.socket.writableLength || SIZE - site.connections[0]!.socket.bytesWritten,
    );
    const before = p.decisions.length;
    assert.ok(
      left > 0 && p.stats.values() && moved(p).out < IN_FLIGHT,
      `${moved(p).out} bytes were taken from the site`,
    );
    let got = 0;
    reader.on('data', (chunk) => {
      got += chunk.length;
    });
    reader.resume();
    await until(() => got === SIZE + ESTABLISHED.length, { deadline: 60_000 });
    reader.end();
    site.connections[0]!.socket.end();
    await until(() => p.decisions.length > before);
    assert.equal(p.decisions[0]!.bytes_out, got);
    assert.equal(p.decisions[0]!.bytes_in, head.length);
  });

  it('slows the client down to the site that reads slowly, and loses nothing', async () => {
    const site = await origin({ onConnection: ({ socket }) => void socket.pause() });
    const { p, head } = await tunnel(site);
    const c = await client(p.port);
    await c.send(head);
    await c.readResponse({ method: 'CONNECT' });
    c.socket.write(Buffer.alloc(SIZE, 'abcdefgh'));
    await settled(() => moved(p).in);
    assert.ok(moved(p).in < IN_FLIGHT, `${moved(p).in} bytes were taken from the client`);
    site.connections[0]!.socket.resume();
    c.end();
    await until(() => site.connections[0]!.ended, { deadline: 60_000 });
    assert.equal(site.connections[0]!.received().length, SIZE);
    site.connections[0]!.socket.end();
    await until(() => p.decisions.length === 1);
    assert.equal(p.decisions[0]!.bytes_in, head.length + SIZE);
  });

  it('goes on in one direction when the other has ended, whichever it is', async () => {
    for (const first of ['client', 'site'] as const) {
      const site = await origin();
      const { p, head } = await tunnel(site);
      const c = await client(p.port);
      await c.send(head);
      await c.readResponse({ method: 'CONNECT' });
      await until(() => site.connections.length === 1);
      const there = site.connections[0]!;
      const bulk = Buffer.alloc(3_000_000, 'x');
      if (first === 'client') {
        c.end();
        await until(() => there.ended);
        there.socket.end(bulk);
        assert.equal((await c.readToEnd()).length, bulk.length);
      } else {
        there.socket.end();
        assert.equal(await c.closed(), 'end');
        await c.send(bulk);
        c.end();
        await until(() => there.ended);
        assert.equal(there.received().length, bulk.length);
      }
      await until(() => p.decisions.length === 1 && p.binding.open.size === 0);
      const { bytes_in, bytes_out } = p.decisions[0]!;
      assert.deepEqual(
        [bytes_in - head.length, bytes_out - ESTABLISHED.length],
        first === 'client' ? [0, bulk.length] : [bulk.length, 0],
      );
    }
  });

  it('counts every byte, wherever it is cut', async () => {
    for (const size of [1, 1000, 65_536, 65_537, 300_000, 1_000_001]) {
      const site = await origin();
      const { p, head } = await tunnel(site);
      const c = await client(p.port);
      await c.send(head);
      await c.readResponse({ method: 'CONNECT' });
      await c.send(Buffer.alloc(size));
      await until(() => site.connections[0]?.received().length === size);
      site.connections[0]!.socket.write(Buffer.alloc(size + 1));
      await c.read(size + 1);
      c.reset();
      await until(() => p.decisions.length === 1);
      assert.equal(p.decisions[0]!.bytes_in, head.length + size);
      assert.equal(p.decisions[0]!.bytes_out, ESTABLISHED.length + size + 1);
      const total = [...p.stats.values()].find((counters) => counters.dimension === 'server')!;
      assert.equal(total.bytes_in, head.length + size);
      assert.equal(total.active, 0);
      await until(() => site.connections[0]!.closed);
    }
  });

  const moved = (p: Awaited<ReturnType<typeof startTestProxy>>) => {
    const total = [...p.stats.values()].find((counters) => counters.dimension === 'server')!;
    return { in: total.bytes_in, out: total.bytes_out };
  };
});

describe('a forward request', () => {
  it('whose client resets is reset at the site too', async () => {
    let error: NodeJS.ErrnoException | undefined;
    const site = await origin({
      onConnection: ({ socket }) =>
        void socket.on('error', (e) => {
          error = e;
        }),
    });
    const { p } = await tunnel(site);
    const c = await client(p.port);
    await c.send(`POST http://127.0.0.1:${site.port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\npart`);
    await until(() => site.received().includes('part'));
    c.reset();
    await until(() => error !== undefined);
    assert.equal(error?.code, 'ECONNRESET');
    assert.equal(p.decisions[0]?.code, 'client_closed');
    assert.equal(p.sessions(), 0);
  });
});

describe('a relay', () => {
  /** Tells when the relay wants to be woken, and never wakes it. */
  const wheel = () => {
    const armed: number[] = [];
    let entry: WheelEntry | undefined;
    const fake = {
      tick: 1,
      tickMs: 1000,
      arm: (e: WheelEntry, ms: number) => {
        entry = e;
        armed.push(ms);
      },
      forget: () => {},
    };
    return { fake, armed, fire: () => entry!.onTimeout() };
  };
  class Slow extends MemoryStream {
    full = false;
    override get blocked(): boolean {
      return this.full;
    }
    override write(chunk: Uint8Array | string): boolean {
      super.write(chunk);
      return !this.full;
    }
  }
  const start = () => {
    const [client, upstream] = [new Slow('192.0.2.1'), new Slow('192.0.2.2')];
    const w = wheel();
    const ends: string[] = [];
    const relay = new Relay(client, upstream, {
      wheel: w.fake as never,
      idleMs: 60_000,
      moved: () => {},
      done: (reason) => ends.push(reason),
    });
    return { client, upstream, w, ends, relay };
  };
  const turn = () => new Promise(setImmediate);

  it('passes a reset on within one turn, whichever side it comes from', async () => {
    for (const side of ['client', 'upstream'] as const) {
      const r = start();
      r[side].feedEnd('reset');
      await turn();
      assert.equal((side === 'client' ? r.upstream : r.client).state, 'reset');
      assert.deepEqual(r.ends, [`${side} reset`]);
    }
  });

  it('resets the other side when one is cut by us', async () => {
    const r = start();
    r.client.reset();
    await turn();
    assert.equal(r.upstream.state, 'reset');
    assert.equal(r.ends.length, 1);
  });

  it('reads no further while the other side cannot write', () => {
    const r = start();
    r.client.full = true;
    r.upstream.feed('one');
    r.upstream.feed('two');
    assert.equal(r.client.written, 'one');
    r.client.full = false;
    r.client.receiver.onDrain();
    return turn().then(() => assert.equal(r.client.written, 'onetwo'));
  });

  it('waits for a slow reader as long as it may be idle, and no longer than a moment once all has left', async () => {
    const r = start();
    r.client.feedEnd('fin');
    r.client.full = true;
    r.upstream.feed('much');
    r.upstream.resume();
    r.upstream.receiver.onEnd();
    r.upstream.receiver.onClose(null);
    assert.equal(r.w.armed.at(-1), 60_000);
    r.client.full = false;
    r.client.receiver.onDrain();
    assert.equal(r.w.armed.at(-1), 5000);
    r.w.fire();
    await turn();
    assert.equal(r.ends.length, 1);
  });

  it('ends once, however both sides end', async () => {
    const r = start();
    r.client.feedEnd('fin');
    r.upstream.feedEnd('fin');
    await turn();
    r.relay.destroy();
    await turn();
    assert.deepEqual(r.ends, ['']);
  });
});
