import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import type { Server } from '@arcus/gateway/kind.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { formatAddress, ListenError, Listeners } from './listeners.ts';
import { Sockets } from './process-sockets.ts';

const wanted = (...ports: number[]) =>
  ports.map((port, i) => ({
    server: { name: `s${i}`, listen: { host: '127.0.0.1', port } } as unknown as Server,
    pointer: `/servers/${i}/listen`,
  }));

test('a release that is refused frees no address: the others that wait for one are not woken', async () => {
  let freed = 0;
  const listeners = new Listeners({ onFreed: () => freed++ });
  const [free, taken] = [await freePort(), await freePort()];
  const squatter = createServer().listen(taken, '127.0.0.1');
  await once(squatter, 'listening');
  try {
    await assert.rejects(listeners.prepare('a', wanted(free, taken)), ListenError);
    assert.equal(freed, 0);
    assert.equal(listeners.size, 0);
  } finally {
    squatter.close();
    listeners.close();
  }
});

test('an address that a release gives up wakes who waits for it', async () => {
  let freed = 0;
  const listeners = new Listeners({ onFreed: () => freed++ });
  const [first, second] = [await freePort(), await freePort()];
  try {
    const before = await listeners.prepare('a', wanted(first));
    before.commit();
    before.closeUnused();
    assert.equal(freed, 0);
    const after = await listeners.prepare('a', wanted(second));
    after.commit();
    after.closeUnused();
    assert.equal(freed, 1);
  } finally {
    listeners.close();
  }
});

test('of several processes, too, no tenant gets an address that takes connections of another', async () => {
  const me = {};
  const sockets = new Sockets<object>({ standIn: () => undefined, lend: () => {} });
  const listeners = new Listeners({
    open: async (listen) => ({
      handle: await sockets.open(listen, 0, me),
      release: () => sockets.release(formatAddress(listen), me),
    }),
  });
  const port = await freePort();
  const at = (host: string) => [{ server: { name: 's', listen: { host, port } } as unknown as Server, pointer: '/s' }];
  try {
    (await listeners.prepare('a', at('0.0.0.0'))).commit();
    await assert.rejects(listeners.prepare('b', at('127.0.0.1')), /in use .* another tenant/);
    await assert.rejects(listeners.prepare('b', at('::')), /in use .* another tenant/);
    (await listeners.prepare('b', at('::1'))).commit();
    // Its own wider address stands back for a narrower one.
    const narrower = await listeners.prepare('a', at('127.0.0.1'));
    narrower.commit();
    narrower.closeUnused();
    assert.equal(listeners.size, 2);
    assert.equal(sockets.size, 2);
  } finally {
    listeners.close();
    assert.equal(sockets.size, 0);
  }
});
