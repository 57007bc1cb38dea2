/** Limits of time and number: each option of a server is set here, and what it does is seen from outside. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { clientsOf } from '@arcus/gateway/servers/http_proxy.ts';
import { startTestProxy, type TestProxyOptions } from '@arcus/gateway/testing/proxy.ts';
import { startRawOrigin } from '@arcus/testkit/origin.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { until } from '@arcus/testkit/until.ts';
import { MemoryStream } from './lib/memory.ts';

const closers: (() => unknown)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});
async function proxy(limits: Record<string, number>, more: TestProxyOptions = {}) {
  const p = await startTestProxy({ tickMs: 5, ...more, server: { ...more.server, limits } });
  closers.push(() => p.close());
  return p;
}
async function client(port: number) {
  const c = await RawClient.connect({ port });
  closers.push(() => c.socket.destroy());
  return c;
}
async function origin(...args: Parameters<typeof startRawOrigin>) {
  const o = await startRawOrigin(...args);
  closers.push(() => o.close());
  return o;
}
const ask = (port: number, method = 'GET', ...fields: string[]) =>
  `${method} http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: x\r\n${fields.map((f) => `${f}\r\n`).join('')}\r\n`;
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi';
/** Sends a byte now and then until the condition holds. */
const drip = (c: RawClient, condition: () => boolean) =>
  until(() => {
    if (condition()) return true;
    c.socket.write('a');
    return false;
  });

describe('a server ends', () => {
  it('a connection that says nothing after first_byte_ms, without a word', async () => {
    const p = await proxy({ first_byte_ms: 100 });
    const c = await client(p.port);
    assert.equal((await c.readToEnd()).length, 0);
    await until(() => p.binding.open.size === 0);
    assert.equal(p.decisions.length, 0);
  });

  it('a head that is not whole after head_ms with 408', async () => {
    const p = await proxy({ head_ms: 100 });
    const c = await client(p.port);
    await c.send('GET http://o.example/ HTTP/1.1\r\nHost:');
    assert.equal((await c.readResponse()).status, 408);
    assert.equal(await c.closed(), 'end');
    assert.equal(p.decisions[0]?.code, 'request_timeout');
  });

  it('a head that comes byte by byte after head_ms all the same', async () => {
    const p = await proxy({ head_ms: 100, keepalive_idle_ms: 60_000, first_byte_ms: 60_000 });
    const c = await client(p.port);
    await drip(c, () => c.pending.length > 0);
    assert.equal((await c.readResponse()).status, 408);
  });

  it('a kept connection after keepalive_idle_ms', async () => {
    const site = await origin({ reply: OK });
    const p = await proxy({ keepalive_idle_ms: 100 });
    const c = await client(p.port);
    assert.equal((await c.request(ask(site.port))).status, 200);
    assert.equal(await c.closed(), 'end');
  });

  it('a body that stops after body_idle_ms with 408', async () => {
    const site = await origin();
    const p = await proxy({ body_idle_ms: 100 });
    const c = await client(p.port);
    await c.send(`${ask(site.port, 'POST', 'Content-Length: 9')}part`);
    assert.equal((await c.readResponse()).status, 408);
    assert.equal(await c.closed(), 'end');
    await until(() => site.connections[0]!.closed || site.connections[0]!.ended);
  });

  it('an answer whose body stops after body_idle_ms with a reset', async () => {
    const site = await origin({ reply: 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart' });
    const p = await proxy({ body_idle_ms: 100 });
    const c = await client(p.port);
    await c.send(ask(site.port));
    assert.equal(await c.closed(), 'reset');
    assert.equal(p.decisions[0]?.code, 'response_timeout');
  });

  it('the wait for an answer after response_head_ms with 504, and the connection goes on', async () => {
    const site = await origin();
    const p = await proxy({ response_head_ms: 100 });
    const c = await client(p.port);
    assert.equal((await c.request(ask(site.port))).status, 504);
    assert.equal((await c.request(ask(site.port))).status, 504);
  });

  it('the wait for an answer whose head comes byte by byte after response_head_ms', async () => {
    let stop = false;
    const site = await origin({
      onConnection: ({ socket }) => {
        const timer = setInterval(
          () => (stop ? clearInterval(timer) : socket.write('HTTP/1.1 100 Continue\r\n\r\n')),
          10,
        );
        closers.push(() => clearInterval(timer));
      },
    });
    const p = await proxy({ response_head_ms: 150 });
    const c = await client(p.port);
    await c.send(ask(site.port));
    let answer = await c.readResponse();
    while (answer.status < 200) answer = await c.readResponse();
    stop = true;
    assert.equal(answer.status, 504);
  });

  it('a tunnel in which nothing moves after tunnel_idle_ms, and not while something does', async () => {
    const site = await origin();
    const p = await proxy({ tunnel_idle_ms: 200 }, { server: { connect_ports: [site.port] } });
    const c = await client(p.port);
    await c.send(`CONNECT 127.0.0.1:${site.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.equal((await c.readResponse({ method: 'CONNECT' })).status, 200);
    // One way is enough, and for much longer than the limit.
    const end = Date.now() + 600;
    await drip(c, () => Date.now() > end);
    assert.ok(c.isOpen, 'the tunnel was cut while bytes moved');
    assert.equal(await c.closed(), 'end');
    await until(() => p.sessions() === 0 && site.connections[0]!.ended);
  });

  it('an upgraded connection in which nothing moves after tunnel_idle_ms', async () => {
    const site = await origin({
      reply: 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    });
    const p = await proxy({ tunnel_idle_ms: 100 });
    const c = await client(p.port);
    assert.equal((await c.request(ask(site.port, 'GET', 'Connection: Upgrade', 'Upgrade: websocket'))).status, 101);
    assert.equal(await c.closed(), 'end');
    await until(() => p.sessions() === 0 && p.binding.open.size === 0);
  });

  it('a connection after requests_per_connection, and says so in the last answer', async () => {
    const site = await origin({ reply: OK });
    const p = await proxy({ requests_per_connection: 3 });
    const c = await client(p.port);
    await c.send(ask(site.port).repeat(4));
    for (const connection of [undefined, undefined, 'close']) {
      assert.equal((await c.readResponse()).headers.connection, connection);
    }
    assert.equal((await c.readToEnd()).length, 0);
    assert.equal(p.decisions.length, 3);
  });
});

describe('sessions_per_client', () => {
  it('lets so many connections of one address in, tells the next one so, and counts down again', async () => {
    const site = await origin({ reply: OK });
    const p = await proxy({ sessions_per_client: 2 });
    const [a, b] = [await client(p.port), await client(p.port)];
    await until(() => p.binding.open.size === 2);
    const c = await client(p.port);
    const answer = await c.readResponse();
    assert.equal(answer.status, 429);
    assert.equal(answer.headers['arcus-error'], 'too_many_sessions');
    assert.equal(await c.closed(), 'end');
    c.end();
    assert.equal(p.decisions[0]?.code, 'too_many_sessions');
    // Another address is another client.
    const d = await RawClient.connect({ port: p.port, localAddress: '127.0.0.2' });
    closers.push(() => d.socket.destroy());
    assert.equal((await d.request(ask(site.port))).status, 200);
    d.socket.destroy();
    a.socket.destroy();
    await until(() => clientsOf(p.binding).get('127.0.0.1') === 1);
    const e = await client(p.port);
    assert.equal((await e.request(ask(site.port))).status, 200);
    e.socket.destroy();
    b.socket.destroy();
    await until(() => p.binding.open.size === 0);
    assert.equal(clientsOf(p.binding).size, 0, 'addresses without a connection are remembered');
  });

  it('counts all addresses of an IPv6 /64 as one client', async () => {
    const p = await proxy({ sessions_per_client: 1 });
    const from = (address: string) => {
      const stream = new MemoryStream(address);
      p.binding.server!.serve(stream, p.binding);
      return stream;
    };
    const first = from('2001:db8:1:2::1');
    for (const address of ['2001:db8:1:2::1', '2001:db8:1:2:ffff::', '2001:db8:1:2::192.0.2.1'])
      assert.match(from(address).written, /^HTTP\/1.1 429 /, address);
    for (const address of ['2001:db8:1:3::1', '2001:db8:1::2', '::1', 'fe80::1%eth0', '192.0.2.1', '192.0.2.2'])
      assert.equal(from(address).written, '', address);
    first.feedEnd('fin');
    await until(() => clientsOf(p.binding).size === 6);
    assert.equal(from('2001:db8:1:2::2').written, '');
  });

  it('counts a tunnel until it ends', async () => {
    const site = await origin();
    const p = await proxy({ sessions_per_client: 1 }, { server: { connect_ports: [site.port] } });
    const c = await client(p.port);
    await c.send(`CONNECT 127.0.0.1:${site.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await c.readResponse({ method: 'CONNECT' });
    assert.equal((await (await client(p.port)).readResponse()).status, 429);
    c.reset();
    await until(() => clientsOf(p.binding).size === 0);
  });
});
