import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { after, describe, it } from 'node:test';
import { startBlackHole } from '@arcus/testkit/black-hole.ts';
import { listen } from '@arcus/testkit/origin.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { until, within } from '@arcus/testkit/until.ts';
import { GatewayError } from '../errors.ts';
import { type DialConfig, Dialer } from '../escapers/dialer.ts';
import { testGraph } from '../testing/graph.ts';
import { startTestProxy } from '../testing/proxy.ts';
import { testServices } from '../testing/services.ts';
import { dial, MAX_ATTEMPTS } from './dial.ts';

const closers: (() => unknown)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});
const { services, close } = testServices();
closers.push(close);

/** 127.0.0.1 swallows connections to this port; other addresses answer. */
const hole = await startBlackHole();
closers.push(() => hole.close());
const hasV6 = Object.values(networkInterfaces()).some((all) => all?.some((one) => one.address === '::1'));
for (const host of ['127.0.0.2', ...(hasV6 ? ['::1'] : [])]) {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    closers.push(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(hole.port, host, resolve));
  closers.push(() => server.close());
}

const { signal } = new AbortController();
const LONG = { timeoutMs: 60_000, signal };
/** Connections that are being opened. */
const opening = () => process.getActiveResourcesInfo().filter((what) => what === 'ConnectWrap').length;
const fails = (code: string, detail: RegExp) => (error: unknown) => {
  assert.ok(error instanceof GatewayError, String(error));
  assert.equal(error.code, code);
  assert.match(error.detail, detail);
  return true;
};

describe('dialling', () => {
  it('goes on to the next address while the first says nothing, and leaves no attempt behind', async () => {
    const stream = await within(dial(['127.0.0.1', '127.0.0.2'], hole.port, LONG), 'the second address answers');
    assert.equal(stream.remoteAddress, '127.0.0.2');
    stream.destroy();
    await until(() => opening() === 0);
  });

  it('does not wait when an address refuses', async () => {
    const addresses = ['127.0.0.3', '127.0.0.2'];
    const stream = await within(dial(addresses, hole.port, { ...LONG, staggerMs: 60_000 }), 'the next one at once');
    assert.equal(stream.remoteAddress, '127.0.0.2');
    stream.destroy();
  });

  it('takes the first when it answers', async () => {
    const stream = await dial(['127.0.0.2', '127.0.0.1'], hole.port, LONG);
    assert.equal(stream.remoteAddress, '127.0.0.2');
    stream.destroy();
  });

  it('gives up at its deadline, and says whom it asked', async () => {
    await assert.rejects(
      dial(['127.0.0.1'], hole.port, { timeoutMs: 100, signal }),
      fails('connect_timeout', /no answer from 127\.0\.0\.1 port \d+ in 100 ms/),
    );
    await until(() => opening() === 0);
  });

  it('tries so many addresses and no more', async () => {
    const port = await freePort();
    const addresses = Array.from({ length: 40 }, (_, i) => `127.0.1.${i + 1}`);
    await assert.rejects(dial(addresses, port, LONG), (error: GatewayError) => {
      assert.equal(error.detail.match(/ECONNREFUSED/g)?.length, MAX_ATTEMPTS);
      return true;
    });
  });

  it('stops when nobody wants the connection any more', async () => {
    const wanted = new AbortController();
    const dialled = dial(['127.0.0.1', '127.0.0.1'], hole.port, { ...LONG, staggerMs: 1, signal: wanted.signal });
    await until(() => opening() === 2);
    wanted.abort();
    await assert.rejects(dialled, fails('client_closed', /./));
    await until(() => opening() === 0);
    await assert.rejects(
      dial(['127.0.0.2'], hole.port, { ...LONG, signal: wanted.signal }),
      fails('client_closed', /./),
    );
  });
});

describe('an escaper that dials', () => {
  it('tries the other IP version while the first hangs, also with local addresses of both', async (t) => {
    if (!hasV6) return t.skip('no IPv6 here');
    const config: DialConfig = {
      name: 'direct',
      resolver: 'dns',
      resolve_strategy: 'Ipv4First',
      bind_ip: ['127.0.0.9', '::1'],
      egress_allow: [{ network: '127.0.0.0/8' }, { network: '::1' }],
      connect_timeout_ms: 60_000,
    };
    const resolver = { name: 'dns', type: 'fake', resolve: async () => ['127.0.0.1', '::1'] };
    const dialer = new Dialer(config, { services, get: () => resolver } as never);
    const stream = await within(dialer.connect('site.example', hole.port, signal), 'IPv6 answers');
    assert.equal(stream.remoteAddress, '::1');
    stream.destroy();
  });

  /** A proxy that dials 127.0.0.1, by itself or to ask the next proxy there. */
  async function proxy(escaper: object) {
    const fields = { name: 'out', egress_allow: [{ network: '127.0.0.1' }], connect_timeout_ms: 60_000, ...escaper };
    const { escapers } = testGraph({ escapers: [fields as never] }, services);
    const started = await startTestProxy({ escaper: escapers.get('out')!, server: { connect_ports: [hole.port] } });
    closers.push(() => started.close());
    return started;
  }

  for (const [what, head] of [
    ['a tunnel', `CONNECT 127.0.0.1:${hole.port} HTTP/1.1\r\nHost: x\r\n\r\n`],
    ['a forward request', `GET http://127.0.0.1:${hole.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`],
  ] as const) {
    it(`stops when the client of ${what} leaves`, async () => {
      const { port, sessions, decisions } = await proxy({ type: 'direct_fixed' });
      const client = await RawClient.connect({ port });
      await client.send(head);
      // The session first: what is being opened must be the proxy's dial, not the client's own connection.
      await until(() => sessions() === 1 && opening() === 1);
      client.socket.resetAndDestroy();
      await until(() => opening() === 0 && sessions() === 0);
      assert.equal(decisions[0]?.code, 'client_closed');
    });
  }

  it('does not wait for the answer of a next proxy when the client leaves', async () => {
    let asked = 0;
    const ends: boolean[] = [];
    const next = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', () => asked++);
      socket.on('close', () => ends.push(true));
    });
    const { port: nextPort, close } = await listen(next);
    closers.push(close);
    const { port } = await proxy({ type: 'proxy_http', proxy_addr: `127.0.0.1:${nextPort}` });
    const client = await RawClient.connect({ port });
    await client.send(`CONNECT site.example:${hole.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until(() => asked > 0);
    client.socket.resetAndDestroy();
    await until(() => ends.length === 1);
  });
});
