import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import type { Server } from '@arcus/gateway/kind.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { ListenError, Listeners } from './listeners.ts';

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
