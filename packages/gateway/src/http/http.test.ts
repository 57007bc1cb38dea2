import assert from 'node:assert/strict';
import net from 'node:net';
import { after, describe, it } from 'node:test';
import { startOrigin, startRawOrigin } from '@arcus/testkit/origin.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { until } from '@arcus/testkit/until.ts';
import type { Auditor, Policy } from '../kind.ts';
import { startTestProxy, type TestProxyOptions } from '../testing/proxy.ts';

const closers: (() => unknown)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});

async function proxy(options?: TestProxyOptions) {
  const started = await startTestProxy(options);
  closers.push(() => started.close());
  return started;
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

const reply = (body: string, fields = '') =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${fields}\r\n${body}`;
const users = {
  name: 'users',
  type: 'basic',
  authenticate: (c: string) =>
    c === Buffer.from('ann:pw').toString('base64')
      ? {
          name: 'ann',
          group: 'users',
          blocked: false,
          ports: undefined,
          requestRateLimit: undefined,
          denies: () => null,
        }
      : null,
};

describe('forward requests', () => {
  it('reach the site in origin-form with Host made from the target, and what is for this hop stays here', async () => {
    const site = await origin({ reply: reply('hello', 'Connection: x-secret\r\nX-Secret: 1\r\nX-Kept: 1\r\n') });
    const p = await proxy({ userGroup: users });
    const c = await client(p.port);
    const auth = Buffer.from('ann:pw').toString('base64');
    await c.send(
      `GET http://127.0.0.1:${site.port}/a?b=1 HTTP/1.1\r\nHost: other.example\r\nProxy-Authorization: Basic ${auth}\r\nX-Mine: 1\r\nX-Tenant-ID: t\r\nConnection: close, X-Gone\r\nX-Gone: 1\r\nAccept: */*\r\n\r\n`,
    );
    const answer = await c.readResponse();
    assert.equal(answer.status, 200);
    assert.equal(answer.text, 'hello');
    assert.equal(answer.headers['x-secret'], undefined);
    assert.equal(answer.headers['x-kept'], '1');
    assert.equal(answer.headers.via, '1.1 arcus-test');
    assert.equal(await c.closed(), 'end');
    assert.equal(
      site.received().toString(),
      `GET /a?b=1 HTTP/1.1\r\nHost: 127.0.0.1:${site.port}\r\nX-Mine: 1\r\nAccept: */*\r\nVia: 1.1 arcus-test\r\n\r\n`,
    );
    const [decision] = p.decisions;
    assert.equal(decision?.user, 'ann');
    assert.equal(decision?.path, '/a');
    assert.equal(decision?.status, 200);
  });

  it('share connections on both sides and come back in order when pipelined', async () => {
    let n = 0;
    const site = await origin({
      onData: (conn, chunk) => {
        for (const _ of chunk.toString().matchAll(/\r\n\r\n/g)) conn.socket.write(reply(`answer ${++n}`));
      },
    });
    const p = await proxy();
    const c = await client(p.port);
    const request = `GET http://127.0.0.1:${site.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`;
    await c.send(request.repeat(5));
    for (let i = 1; i <= 5; i++) assert.equal((await c.readResponse()).text, `answer ${i}`);
    assert.equal(site.connections.length, 1);
    assert.equal(p.pooled(), 1);
    assert.equal(p.sessions(), 0);
  });

  it('leave no connection behind that the site is about to close', async () => {
    for (const [fields, kept] of [
      ['Keep-Alive: timeout=1, max=100\r\n', 0],
      ['Keep-Alive: max=100, timeout=60\r\n', 1],
      ['Keep-Alive: max=100\r\n', 1],
    ] as const) {
      const site = await origin({ reply: reply('', fields) });
      const p = await proxy();
      const c = await client(p.port);
      assert.equal((await c.request(`GET http://127.0.0.1:${site.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)).status, 200);
      await until(() => p.sessions() === 0);
      assert.equal(p.pooled(), kept, fields);
    }
  });

  it('carry bodies both ways, whatever their size and framing', async () => {
    const big = Buffer.alloc(3_000_000, 'x');
    const site = await startOrigin({ answer: (request) => ({ body: request.body }) });
    closers.push(() => site.close());
    const p = await proxy();
    const c = await client(p.port);
    const head = `POST http://127.0.0.1:${site.port}/ HTTP/1.1\r\nHost: x\r\n`;
    await c.send(`${head}Content-Length: ${big.length}\r\n\r\n`);
    await c.send(big);
    const answer = await c.readResponse();
    assert.equal(answer.body.length, big.length);
    await c.send(`${head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-T: 1\r\n\r\n`);
    assert.equal((await c.readResponse()).text, 'hello world');
    assert.equal(p.decisions.length, 2);
    const total = p.stats.of('test', 'tenant', '');
    assert.equal(total.requests, 2);
    assert.ok(total.bytes_in > big.length && total.bytes_out > big.length);
  });

  it('are tried once more when a kept connection had died', async () => {
    let first = true;
    const site = await origin({
      onData: (conn) => {
        if (conn.received().toString().split('GET ').length > 2) conn.socket.destroy();
        else conn.socket.write(reply(first ? 'one' : 'two'));
        first = false;
      },
    });
    const p = await proxy();
    const c = await client(p.port);
    const request = `GET http://127.0.0.1:${site.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`;
    await c.send(request);
    assert.equal((await c.readResponse()).text, 'one');
    await c.send(request);
    assert.equal((await c.readResponse()).text, 'two');
    assert.equal(site.connections.length, 2);
  });

  it('get a clear answer when the site cannot be reached, and the connection goes on', async () => {
    const p = await proxy();
    const c = await client(p.port);
    await c.send('GET http://nowhere.example/ HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n');
    const html = await c.readResponse();
    assert.equal(html.status, 502);
    assert.match(html.headers['content-type']!, /html/);
    await c.send(`GET http://127.0.0.1:${await freePort()}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    const plain = await c.readResponse();
    assert.equal(plain.status, 502);
    assert.match(plain.text, /connect_failed/);
    assert.equal(p.sessions(), 0);
  });

  it('ask for credentials with 407, and again when they are wrong', async () => {
    const p = await proxy({ userGroup: users });
    const c = await client(p.port);
    await c.send('GET http://x.example/ HTTP/1.1\r\nHost: x\r\n\r\n');
    const none = await c.readResponse();
    assert.equal(none.status, 407);
    assert.equal(none.headers['proxy-authenticate'], 'Basic realm="arcus", charset="UTF-8"');
    await c.send('GET http://x.example/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic eDp5\r\n\r\n');
    assert.equal((await c.readResponse()).status, 407);
    assert.deepEqual(
      p.decisions.map((d) => d.code),
      ['auth_required', 'auth_failed'],
    );
  });

  it('are blocked by policy with the rule named', async () => {
    const policy: Policy = {
      name: 'sites',
      type: 'x',
      priority: 1,
      check: (s) =>
        s.target.host === 'bad.example'
          ? { action: 'block', policy: 'sites', rule: 'bad.example', reason: 'no', location: '' }
          : { action: 'redirect', policy: 'sites', rule: '*', reason: '', location: 'http://ok.example/' },
    };
    const p = await proxy({ policies: [policy] });
    const c = await client(p.port);
    await c.send('GET http://BAD.example./ HTTP/1.1\r\nHost: x\r\n\r\n');
    const blocked = await c.readResponse();
    assert.equal(blocked.status, 403);
    assert.match(blocked.text, /sites: bad\.example/);
    await c.send('GET http://other.example/ HTTP/1.1\r\nHost: x\r\n\r\n');
    const redirected = await c.readResponse();
    assert.equal(redirected.status, 302);
    assert.equal(redirected.headers.location, 'http://ok.example/');
    assert.deepEqual(
      p.decisions.map((d) => d.action),
      ['block', 'redirect'],
    );
  });

  it('are refused when their framing can be read in two ways', async () => {
    const p = await proxy();
    for (const [bytes, status] of [
      ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', 400],
      ['GET http://x/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', 400],
      ['GET http://x/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n', 400],
      ['GET http://x/ HTTP/1.1\nHost: x\n\n', 400],
      ['GET http://u:p@x/ HTTP/1.1\r\nHost: x\r\n\r\n', 400],
      ['GET https://x/ HTTP/1.1\r\nHost: x\r\n\r\n', 501],
      ['GET http://x/ HTTP/2.0\r\nHost: x\r\n\r\n', 505],
      [`GET http://x/${'a'.repeat(9000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 414],
      [`GET http://x/ HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(200)}\r\n`, 431],
    ] as const) {
      const c = await client(p.port);
      await c.send(bytes);
      assert.equal((await c.readResponse()).status, status, bytes.slice(0, 60));
      assert.equal(await c.closed(), 'end');
    }
  });

  it('lose no memory of who asked: a slow reader slows the site down, not the worker', async () => {
    const size = 50_000_000;
    const site = await origin({
      onData: (conn) => {
        conn.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
        conn.socket.write(Buffer.alloc(size));
      },
    });
    const p = await proxy();
    const reader = net.connect(p.port, '127.0.0.1');
    closers.push(() => reader.destroy());
    reader.pause();
    reader.write(`GET http://127.0.0.1:${site.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until(() => site.connections.length > 0 && site.connections[0]!.socket.writableLength > 0);
    const stuck = site.connections[0]!.socket;
    let last = -1;
    let same = 0;
    await until(
      () => {
        same = last === stuck.writableLength ? same + 1 : 0;
        last = stuck.writableLength;
        return same === 20;
      },
      { deadline: 60_000 },
    );
    assert.ok(last > size / 2, `only ${last} bytes still wait at the site`);
    let got = 0;
    reader.on('data', (chunk) => {
      got += chunk.length;
    });
    reader.resume();
    await until(() => got > size, { deadline: 60_000 });
  });
});

describe('tunnels', () => {
  it('carry bytes both ways, early data included, and end with half-closes', async () => {
    const site = await origin({
      onData: (conn, chunk) => {
        conn.socket.write(chunk.toString().toUpperCase());
      },
    });
    const p = await proxy({ server: { connect_ports: [site.port] } });
    const c = await client(p.port);
    await c.send(`CONNECT 127.0.0.1:${site.port} HTTP/1.1\r\nHost: x\r\n\r\nearly`);
    assert.equal((await c.readResponse({ method: 'CONNECT' })).status, 200);
    assert.equal((await c.read(5)).toString(), 'EARLY');
    await c.send('late');
    assert.equal((await c.read(4)).toString(), 'LATE');
    c.end();
    await until(() => site.connections[0]!.ended);
    site.connections[0]!.socket.end('bye');
    assert.equal((await c.readToEnd()).toString(), 'bye');
    await until(() => p.decisions.length === 1);
    assert.equal(p.sessions(), 0);
    assert.equal(p.decisions[0]!.action, 'allow');
    assert.equal(p.binding.open.size, 0);
  });

  it('pass a reset on as a reset', async () => {
    const site = await origin();
    const p = await proxy({ server: { connect_ports: [site.port] } });
    const c = await client(p.port);
    await c.send(`CONNECT 127.0.0.1:${site.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await c.readResponse({ method: 'CONNECT' });
    await until(() => site.connections.length === 1);
    site.connections[0]!.socket.resetAndDestroy();
    assert.equal(await c.closed(), 'reset');
  });

  it('move much data without losing or changing a byte', async () => {
    const data = Buffer.alloc(20_000_000);
    for (let i = 0; i < data.length; i += 4) data.writeUInt32LE(i, i);
    const site = await origin({ onData: (conn) => void (conn.received().length === 2 && conn.socket.end(data)) });
    const p = await proxy({ server: { connect_ports: [site.port] } });
    const c = await client(p.port);
    await c.send(`CONNECT 127.0.0.1:${site.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await c.readResponse({ method: 'CONNECT' });
    await c.send('go');
    const got = await c.readToEnd();
    assert.ok(got.equals(data));
    c.end();
    await until(() => p.decisions.length === 1);
    assert.equal(p.decisions[0]!.bytes_out, data.length + 'HTTP/1.1 200 Connection established\r\n\r\n'.length);
  });

  it('go only to allowed ports', async () => {
    const p = await proxy();
    const c = await client(p.port);
    await c.send('CONNECT 127.0.0.1:25 HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.equal((await c.readResponse()).status, 403);
    // What may follow was meant for the tunnel.
    assert.equal(await c.closed(), 'end');
    const d = await client(p.port);
    await d.send('CONNECT 127.0.0.1 HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.equal((await d.readResponse()).status, 400);
  });

  it('are looked into even where the site speaks first', async () => {
    const auditor: Auditor = {
      name: 'look',
      type: 'x',
      inspectTunnel: (first) =>
        Buffer.from(first).toString() === 'EHLO me' ? { protocol: 'smtp' } : { protocol: 'unknown', deny: 'not known' },
    };
    for (const ends of [false, true]) {
      const site = await origin({
        onConnection: ({ socket }) => {
          socket.on('end', () => socket.end());
          socket[ends ? 'end' : 'write']('220 hello');
        },
      });
      const p = await proxy({ auditor, server: { connect_ports: [site.port] } });
      const open = async () => {
        const c = await client(p.port);
        await c.send(`CONNECT 127.0.0.1:${site.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
        await c.readResponse({ method: 'CONNECT' });
        assert.equal((await c.read(9)).toString(), '220 hello');
        return c;
      };
      const good = await open();
      await good.send('EHLO me');
      await until(() => site.received().toString() === 'EHLO me');
      good.end();
      await until(() => p.decisions.length === 1);
      assert.equal(p.decisions[0]!.protocol, 'smtp');
      const bad = await open();
      await bad.send('anything');
      await until(() => p.decisions.length === 2);
      assert.equal(p.decisions[1]!.code, 'protocol_denied');
      assert.equal(site.received().toString(), 'EHLO me');
      for (const { socket } of site.connections) socket.destroy();
    }
  });

  it('end after the idle timeout', async () => {
    const site = await origin();
    const p = await proxy({ tickMs: 10, server: { connect_ports: [site.port], limits: { tunnel_idle_ms: 100 } } });
    const c = await client(p.port);
    await c.send(`CONNECT 127.0.0.1:${site.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await c.readResponse({ method: 'CONNECT' });
    assert.equal(await c.closed(), 'end');
    await until(() => p.sessions() === 0);
  });
});
