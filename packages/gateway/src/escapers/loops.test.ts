import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { startRawOrigin } from '@arcus/testkit/origin.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import type { ConfigInput } from '../config.ts';
import { testGraph } from '../testing/graph.ts';
import { startTestProxy } from '../testing/proxy.ts';
import { testServices } from '../testing/services.ts';

const { services, close } = testServices();
const closers: (() => unknown)[] = [close];
after(async () => {
  for (const end of closers.reverse()) await end();
});

/** A proxy on `port` whose only way out is the HTTP proxy on `next`. */
async function proxyTo(next: number, port = 0) {
  const escaper: NonNullable<ConfigInput['escapers']>[number] = {
    name: 'parent',
    type: 'proxy_http',
    proxy_addr: `127.0.0.1:${next}`,
    egress_allow: [{ network: '127.0.0.1' }],
  };
  const { escapers } = testGraph({ escapers: [escaper] }, services);
  const proxy = await startTestProxy({ port, escaper: escapers.get('parent')! });
  closers.push(() => proxy.close());
  return proxy;
}

async function ask(port: number, text: string) {
  const client = await RawClient.connect({ port });
  closers.push(() => client.socket.destroy());
  return client.request(text);
}

const CONNECT = 'CONNECT site.example:443 HTTP/1.1\r\nHost: site.example:443\r\n';

describe('a proxy whose next proxy is itself', () => {
  for (const [what, text, status] of [
    ['a tunnel', `${CONNECT}\r\n`, 502],
    ['a forward request', 'GET http://site.example/ HTTP/1.1\r\nHost: site.example\r\n\r\n', 508],
  ] as const) {
    it(`refuses ${what} at its second visit`, async () => {
      const port = await freePort();
      const proxy = await proxyTo(port, port);
      assert.equal((await ask(port, text)).status, status);
      const seen = proxy.decisions.map((d) => d.code).filter((code) => code !== '');
      assert.deepEqual(seen, status === 502 ? ['loop_detected', 'upstream_refused'] : ['loop_detected']);
      assert.ok(proxy.decisions.length <= 2);
    });
  }
});

describe('CONNECT to a next proxy', () => {
  it('says in Via who it has passed, this hop last, each with the version it received', async () => {
    const next = await startRawOrigin({ reply: 'HTTP/1.1 200 OK\r\n\r\n' });
    closers.push(() => next.close());
    const { port } = await proxyTo(next.port);
    await ask(port, `${CONNECT}Via: 1.1 first\r\nVia: 1.0 second (x)\r\n\r\n`);
    assert.match(next.received().toString(), /\r\nVia: 1\.1 first, 1\.0 second \(x\), 1\.1 arcus-test\r\n/);
  });

  it('names the version of an HTTP/1.0 client', async () => {
    const next = await startRawOrigin({ reply: 'HTTP/1.1 200 OK\r\n\r\n' });
    closers.push(() => next.close());
    const { port } = await proxyTo(next.port);
    await ask(port, 'CONNECT site.example:443 HTTP/1.0\r\n\r\n');
    assert.match(next.received().toString(), /\r\nVia: 1\.0 arcus-test\r\n/);
  });
});
