/** Logins that hold for a connection: what one client has proved to a site serves nobody else. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { UserGroup } from '@arcus/gateway/kind.ts';
import { startTestProxy, type TestProxyOptions } from '@arcus/gateway/testing/proxy.ts';
import { type RawConnection, startRawOrigin } from '@arcus/testkit/origin.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { until } from '@arcus/testkit/until.ts';

const closers: (() => unknown)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});
async function proxy(options?: TestProxyOptions) {
  const p = await startTestProxy(options);
  closers.push(() => p.close());
  return p;
}
async function client(port: number) {
  const c = await RawClient.connect({ port });
  closers.push(() => c.socket.destroy());
  return c;
}
/** A site that lets in whoever uses a connection on which the third message of NTLM has come. */
async function site(scheme = 'NTLM') {
  const known = new Set<RawConnection>();
  const o = await startRawOrigin({
    onData(connection, chunk) {
      const text = chunk.toString('latin1');
      if (text.includes(`${scheme} three`)) known.add(connection);
      const [status, field] = known.has(connection)
        ? ['200 OK', '']
        : ['401 No', `WWW-Authenticate: Basic realm=x, ${scheme}${text.includes(`${scheme} one`) ? ' two' : ''}\r\n`];
      connection.socket.write(`HTTP/1.1 ${status}\r\n${field}Content-Length: 0\r\n\r\n`);
    },
  });
  closers.push(() => o.close());
  return o;
}
const ask = (port: number, ...fields: string[]) =>
  `GET http://127.0.0.1:${port}/ HTTP/1.1\r\nHost: x\r\n${fields.map((f) => `${f}\r\n`).join('')}\r\n`;
const login = async (c: RawClient, port: number, scheme = 'NTLM', ...more: string[]) => {
  const statuses: number[] = [];
  for (const message of ['', ' one', ' three'])
    statuses.push(
      (await c.request(ask(port, ...more, ...(message ? [`Authorization: ${scheme}${message}`] : [])))).status,
    );
  return statuses;
};
const users: UserGroup = {
  name: 'users',
  type: 'basic',
  authenticate: (credentials) => ({
    ...{ name: Buffer.from(credentials, 'base64').toString().split(':')[0]!, group: 'users' },
    ...{ blocked: false, ports: undefined, requestRateLimit: undefined, denies: () => null },
  }),
};
const as = (user: string) => `Proxy-Authorization: Basic ${Buffer.from(`${user}:x`).toString('base64')}`;

describe('a login that holds for a connection', () => {
  for (const scheme of ['NTLM', 'Negotiate', 'negotiate']) {
    it(`works through the proxy, and lets nobody else in (${scheme})`, async () => {
      const o = await site(scheme);
      const p = await proxy();
      const [a, b] = [await client(p.port), await client(p.port)];
      assert.deepEqual(await login(a, o.port, scheme), [401, 401, 200]);
      assert.equal((await b.request(ask(o.port))).status, 401);
      assert.equal((await a.request(ask(o.port))).status, 200);
      assert.equal(o.connections.length, 2);
      assert.equal(p.pooled(), 0);
      a.socket.destroy();
      await until(() => o.connections[0]!.ended);
      b.socket.end();
      await until(() => o.connections[1]!.ended);
    });
  }

  it('is not shared when it takes one message', async () => {
    const o = await site();
    const p = await proxy();
    const [a, b] = [await client(p.port), await client(p.port)];
    assert.equal((await a.request(ask(o.port, 'Authorization: NTLM three'))).status, 200);
    assert.equal((await b.request(ask(o.port))).status, 401);
  });

  it("is one user's of those who come by one connection", async () => {
    const o = await site();
    const p = await proxy({ userGroup: users });
    const c = await client(p.port);
    assert.deepEqual(await login(c, o.port, 'NTLM', as('ann')), [401, 401, 200]);
    assert.equal((await c.request(ask(o.port, as('bob')))).status, 401);
    await until(() => o.connections[0]!.ended);
  });

  it('stays with its site while the client asks others', async () => {
    const [o, other] = [await site(), await startRawOrigin({ reply: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n' })];
    closers.push(() => other.close());
    const p = await proxy();
    const c = await client(p.port);
    assert.deepEqual(await login(c, o.port), [401, 401, 200]);
    assert.equal((await c.request(ask(other.port))).status, 200);
    assert.equal(p.pooled(), 1);
    assert.equal((await c.request(ask(o.port))).status, 200);
    assert.equal(o.connections.length, 1);
  });

  it('ends with the release that it began in', async () => {
    const o = await site();
    const p = await proxy();
    const next = await proxy();
    const c = await client(p.port);
    assert.deepEqual(await login(c, o.port), [401, 401, 200]);
    p.binding.server = next.binding.server;
    assert.equal((await c.request(ask(o.port))).status, 401);
    await until(() => o.connections[0]!.ended);
  });

  it('is begun anew when the site has closed the connection meanwhile', async () => {
    const o = await site();
    const p = await proxy();
    const c = await client(p.port);
    assert.deepEqual(await login(c, o.port), [401, 401, 200]);
    o.connections[0]!.socket.end();
    await until(() => o.connections[0]!.closed);
    assert.equal((await c.request(ask(o.port))).status, 401);
  });

  it('may go on as another protocol', async () => {
    const o = await startRawOrigin({
      onData: ({ socket }, chunk) => {
        const text = chunk.toString('latin1');
        if (text.includes('Upgrade: websocket'))
          socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
        else if (text.startsWith('GET')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
        else socket.write(`got ${text}`);
      },
    });
    closers.push(() => o.close());
    const p = await proxy();
    const c = await client(p.port);
    assert.equal((await c.request(ask(o.port, 'Authorization: NTLM three'))).status, 200);
    assert.equal((await c.request(ask(o.port, 'Connection: Upgrade', 'Upgrade: websocket'))).status, 101);
    await c.send('ping');
    assert.equal((await c.readUntil('ping')).toString(), 'got ping');
    assert.equal(o.connections.length, 1);
  });
});
