import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, describe, it } from 'node:test';
import tls from 'node:tls';
import { testGraph } from '../testing/graph.ts';
import { testServices, testSession } from '../testing/services.ts';

const { services, close } = testServices();
after(close);

const graph = testGraph(
  {
    auditors: [
      { name: 'look', type: 'protocol_inspection' },
      { name: 'strict', type: 'protocol_inspection', prohibit_unknown_protocol: true },
    ],
  },
  services,
);
const look = (bytes: Uint8Array | string, name = 'look') =>
  graph.auditors.get(name)!.inspectTunnel(typeof bytes === 'string' ? Buffer.from(bytes) : bytes, testSession('a'));

/** The first bytes that Node's own TLS client sends. */
async function hello(servername?: string): Promise<Buffer> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = tls.connect({
    ...{ port: (server.address() as net.AddressInfo).port, host: '127.0.0.1' },
    ...(servername ? { servername } : {}),
  });
  client.on('error', () => {});
  const [socket] = (await once(server, 'connection')) as [net.Socket];
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return chunk;
}

describe('protocol_inspection', () => {
  it('sees TLS and the name of the site in it', async () => {
    assert.deepEqual(look(await hello('Www.Example.com')), { protocol: 'tls', server_name: 'www.example.com' });
    assert.deepEqual(look(await hello()), { protocol: 'tls' });
  });

  it('asks for more while the hello is not complete, and never calls it unknown then', async () => {
    const bytes = await hello('www.example.com');
    for (let n = 6; n < bytes.length; n++) {
      const seen = look(bytes.subarray(0, n), 'strict');
      assert.deepEqual(seen, { protocol: 'tls', more: true }, `${n} bytes`);
    }
  });

  it('knows other protocols by how they begin', () => {
    const openings: [string, string][] = [
      ['GET / HTTP/1.1\r\n', 'http'],
      ['options * HTTP/1.1\r\n', 'http'],
      ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'http2'],
      ['SSH-2.0-OpenSSH_9.2\r\n', 'ssh'],
      ['EHLO mail.example\r\n', 'smtp'],
      ['\x13BitTorrent protocol', 'bittorrent'],
      ['RFB 003.008\n', 'rfb'],
      ["<?xml version='1.0'?><stream:stream", 'xmpp'],
      ['OPTIONS rtsp://camera.example/ RTSP/1.0', 'rtsp'],
    ];
    for (const [bytes, protocol] of openings) assert.equal(look(bytes).protocol, protocol, bytes);
  });

  it('lets unknown bytes pass or not, as the config says', () => {
    for (const bytes of ['\x00\x01\x02\x03\x04\x05', 'hello there, this is nothing', '\x16\x03\x01\x00\x05\x02aaaa']) {
      assert.deepEqual(look(bytes), { protocol: 'unknown' });
      assert.match(look(bytes, 'strict').deny ?? '', /not known/);
      assert.equal(look(bytes, 'strict').more, undefined);
    }
    assert.equal(look('GET / HTTP/1.1\r\n', 'strict').deny, undefined);
  });

  it('says that too few bytes tell nothing yet', () => {
    for (const bytes of ['', 'G', 'SSH', '\x16', '\x16\x03']) {
      const seen = look(bytes, 'strict');
      assert.equal(seen.more, true);
      assert.ok(seen.deny, 'who cannot wait denies');
    }
  });
});
