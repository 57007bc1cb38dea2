import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { createServer } from 'node:net';
import { after, describe, it } from 'node:test';
import { type Listening, listen } from '@arcus/testkit/origin.ts';
import { GatewayError } from '../errors.ts';
import type { Egress, Escaper } from '../kind.ts';
import { build } from '../testing/contract.ts';
import { testServices, testSession } from '../testing/services.ts';
import { proxyHttp } from './proxy_http.ts';

const { services, close } = testServices();
const open: Listening[] = [];
after(async () => {
  for (const server of open) await server.close();
  close();
});

/** A next proxy that answers a CONNECT head with `reply`, in the given pieces, and echoes from then on. */
async function nextProxy(reply: (head: string, socket: Socket) => void): Promise<Listening & { heads: string[] }> {
  const heads: string[] = [];
  const server = createServer((socket) => {
    let text = '';
    const onData = (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (!text.includes('\r\n\r\n')) return;
      socket.off('data', onData);
      heads.push(text);
      reply(text, socket);
      socket.on('data', (more: Buffer) => socket.write(more));
    };
    socket.on('data', onData);
    socket.on('error', () => {});
  });
  const listening = await listen(server);
  open.push(listening);
  return Object.assign(listening, { heads });
}

function parent(port: number, fields: object = {}): Escaper {
  const config = proxyHttp.config.parse({
    name: 'parent',
    type: 'proxy_http',
    proxy_addr: `127.0.0.1:${port}`,
    egress_allow: [{ network: '127.0.0.1', ports: [port] }],
    ...fields,
  });
  return build(proxyHttp, config, {
    ...{ tenant: 'test', services, policies: [], previous: () => undefined },
    unseal: (value, place) => `${value} of ${place}`,
    get: () => assert.fail('it asks for nothing'),
  });
}

async function tunnel(escaper: Escaper, host = 'site.example', port = 443): Promise<Egress> {
  const session = testSession(host, { port });
  return escaper.connect(session.target, session, 'tunnel');
}

/** All text that comes through, until it is as long as `length`. */
function read(egress: Egress, length: number): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    egress.stream.receiver = {
      onData(chunk) {
        text += chunk.toString('latin1');
        if (text.length >= length) resolve(text);
      },
      onEnd() {},
      onDrain() {},
      onClose() {},
    };
  });
}

const fails =
  (code: string, detail = /./) =>
  (error: unknown) => {
    assert.ok(error instanceof GatewayError, String(error));
    assert.equal(error.code, code, error.detail);
    assert.match(error.detail, detail);
    return true;
  };

describe('proxy_http', () => {
  it('asks the next proxy for a tunnel and moves bytes through it', async () => {
    const proxy = await nextProxy((_, socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'));
    const egress = await tunnel(parent(proxy.port));
    const echoed = read(egress, 5);
    egress.stream.write('hello');
    assert.equal(await echoed, 'hello');
    assert.equal(
      proxy.heads[0],
      'CONNECT site.example:443 HTTP/1.1\r\nHost: site.example:443\r\nVia: 1.1 test\r\n\r\n',
    );
    egress.release(false);
  });

  it('sends credentials that only it can open, and shows them to nobody', async () => {
    const proxy = await nextProxy((_, socket) => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
    const escaper = parent(proxy.port, { proxy_username: 'arcus', proxy_password: 'sealed' });
    (await tunnel(escaper)).release(false);
    const expected = btoa('arcus:sealed of escapers/parent/proxy_password');
    assert.match(proxy.heads[0]!, new RegExp(`\r\nProxy-Authorization: Basic ${expected}\r\n`));
    assert.doesNotMatch(`${escaper.explain?.()} ${JSON.stringify(escaper)}`, new RegExp(expected));
    const session = testSession('site.example', { port: 80, purpose: 'forward' });
    const forward = await escaper.connect(session.target, session, 'forward');
    assert.equal(forward.form, 'absolute');
    assert.equal(forward.headers, `Proxy-Authorization: Basic ${expected}\r\n`);
    forward.release(false);
  });

  it('writes an IPv6 target in brackets', async () => {
    const proxy = await nextProxy((_, socket) => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
    (await tunnel(parent(proxy.port), '2606:4700::1111')).release(false);
    assert.match(proxy.heads[0]!, /^CONNECT \[2606:4700::1111\]:443 HTTP\/1.1\r\nHost: \[2606:4700::1111\]:443\r\n/);
  });

  it('gives what came right behind the answer to the tunnel, first and whole', async () => {
    const proxy = await nextProxy((_, socket) => socket.write('HTTP/1.1 200 OK\r\n\r\nSSH-2.0-server\r\n'));
    const egress = await tunnel(parent(proxy.port));
    const text = read(egress, 'SSH-2.0-server\r\nmore'.length);
    egress.stream.write('more');
    assert.equal(await text, 'SSH-2.0-server\r\nmore');
    egress.release(false);
  });

  it('understands an answer that comes byte by byte, after interim ones', async () => {
    const proxy = await nextProxy(async (_, socket) => {
      socket.setNoDelay(true);
      for (const byte of 'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n') {
        socket.write(byte);
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    (await tunnel(parent(proxy.port))).release(false);
  });

  it('says that the next proxy refused, and with which status', async () => {
    for (const status of [301, 403, 407, 503, 101]) {
      const proxy = await nextProxy((_, socket) => socket.end(`HTTP/1.1 ${status} x\r\nContent-Length: 0\r\n\r\n`));
      await assert.rejects(tunnel(parent(proxy.port)), fails('upstream_refused', new RegExp(`${status}`)));
    }
  });

  it('refuses an answer that is not strict HTTP, endless, or cut short', async () => {
    const answers: [string, string][] = [
      ['HTTP/1.1 200 OK\r\nBad Header: x\r\n\r\n', 'upstream_invalid'],
      ['HTTP/2 200 OK\r\n\r\n', 'upstream_invalid'],
      ['SSH-2.0-x\r\n\r\n', 'upstream_invalid'],
      ['HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n', 'upstream_invalid'],
      [`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(20_000)}`, 'upstream_invalid'],
      ['HTTP/1.1 200 OK\r\n', 'upstream_closed'],
      ['', 'upstream_closed'],
    ];
    for (const [text, code] of answers) {
      const proxy = await nextProxy((_, socket) => socket.end(text));
      await assert.rejects(tunnel(parent(proxy.port)), fails(code));
    }
  });

  it('gives up on a next proxy that never answers', async () => {
    const proxy = await nextProxy(() => {});
    await assert.rejects(tunnel(parent(proxy.port, { connect_timeout_ms: 150 })), fails('connect_timeout'));
  });

  it('uses one connection for forward requests to any site', async () => {
    const proxy = await nextProxy(() => {});
    const escaper = parent(proxy.port);
    const to = (host: string) => testSession(host, { port: 80, purpose: 'forward' });
    const first = await escaper.connect(to('a.example').target, to('a.example'), 'forward');
    first.release(true);
    const second = escaper.connect(to('b.example').target, to('b.example'), 'forward');
    assert.ok(!(second instanceof Promise), 'at once');
    assert.equal(second.stream, first.stream);
    second.release(false);
    escaper.close?.();
  });

  it('guards the address of the next proxy and addresses in the request', async () => {
    const proxy = await nextProxy(() => {});
    await assert.rejects(tunnel(parent(proxy.port, { egress_allow: [] })), fails('egress_denied'));
    await assert.rejects(tunnel(parent(proxy.port), '169.254.169.254', 80), fails('egress_denied'));
    await assert.rejects(tunnel(parent(proxy.port), '127.0.0.1', 22), fails('egress_denied'));
    assert.deepEqual(proxy.heads, []);
  });
});
