import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { startRawOrigin } from '@arcus/testkit/origin.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { answered, openFolder, proxyOn, publish, workerOn } from './testing.ts';

test('two tenants with equal configs never share a connection to a site, though each keeps its own', async (t) => {
  const folder = tempDir('isolation');
  const store = await openFolder(join(folder.path, 'store'));
  const site = await startRawOrigin({ reply: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n' });
  const ports = { acme: await freePort(), beta: await freePort() };
  for (const [tenant, port] of Object.entries(ports)) await publish(store, tenant, 1, proxyOn(port));
  const worker = await workerOn(store, folder.path);
  t.after(async () => {
    await worker.close({ now: true });
    await Promise.all([store.close(), site.close()]);
    folder.close();
  });
  for (const tenant of Object.keys(ports)) await answered(store, tenant, (s) => s.applied === 1);

  const ask = async (tenant: keyof typeof ports) => {
    const client = await RawClient.connect({ port: ports[tenant] });
    const url = `http://127.0.0.1:${site.port}/${tenant}`;
    await client.send(`GET ${url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    assert.equal((await client.readResponse()).status, 200);
    // Its end comes once the connection to the site is back in its pool.
    await client.closed();
    client.socket.destroy();
  };
  for (const tenant of ['acme', 'acme', 'beta', 'acme', 'beta', 'beta'] as const) await ask(tenant);
  const paths = site.connections.map((one) =>
    [
      ...one
        .received()
        .toString()
        .matchAll(/^GET (\S+)/gm),
    ].map((m) => m[1]),
  );
  assert.deepEqual(paths, [
    ['/acme', '/acme', '/acme'],
    ['/beta', '/beta', '/beta'],
  ]);
});
