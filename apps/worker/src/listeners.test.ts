import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import type { Server } from '@arcus/gateway/kind.ts';
import type { ByteStream } from '@arcus/gateway/stream.ts';
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
    await assert.rejects(listeners.prepare({ tenant: 'a', wanted: wanted(free, taken) }), ListenError);
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
    const before = await listeners.prepare({ tenant: 'a', wanted: wanted(first) });
    before.commit();
    before.closeUnused();
    assert.equal(freed, 0);
    const after = await listeners.prepare({ tenant: 'a', wanted: wanted(second) });
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
    (await listeners.prepare({ tenant: 'a', wanted: at('0.0.0.0') })).commit();
    await assert.rejects(listeners.prepare({ tenant: 'b', wanted: at('127.0.0.1') }), /in use .* another tenant/);
    await assert.rejects(listeners.prepare({ tenant: 'b', wanted: at('::') }), /in use .* another tenant/);
    (await listeners.prepare({ tenant: 'b', wanted: at('::1') })).commit();
    // Its own wider address stands back for a narrower one.
    const narrower = await listeners.prepare({ tenant: 'a', wanted: at('127.0.0.1') });
    narrower.commit();
    narrower.closeUnused();
    assert.equal(listeners.size, 2);
    assert.equal(sockets.size, 2);
  } finally {
    listeners.close();
    assert.equal(sockets.size, 0);
  }
});

test('tenants change places in one step: no connection is refused, and each goes to the new server', async () => {
  let freed = 0;
  const listeners = new Listeners({ onFreed: () => freed++ });
  const [one, two, free] = [await freePort(), await freePort(), await freePort()];
  const served: string[] = [];
  const serving = (name: string, port: number) => ({
    ...{ pointer: '/s', server: { name, listen: { host: '127.0.0.1', port } } as unknown as Server },
  });
  const part = (tenant: string, port: number) => {
    const wanted = serving(tenant, port);
    Object.assign(wanted.server, {
      serve: (stream: ByteStream) => {
        served.push(tenant);
        stream.destroy();
      },
    });
    return { tenant, wanted: [wanted] };
  };
  const ask = async (port: number) => {
    const before = served.length;
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => {});
    await new Promise((closed) => socket.on('close', closed));
    return served.slice(before);
  };
  try {
    (await listeners.prepare(part('a', one))).commit();
    (await listeners.prepare(part('b', two))).commit();
    await assert.rejects(listeners.prepare(part('a', two)), (error) => {
      assert.deepEqual((error as ListenError).blockers, [{ tenant: 'b', address: `127.0.0.1:${two}` }]);
      return true;
    });

    const undone = await listeners.prepare(part('a', two), part('b', one));
    undone.abort();
    assert.deepEqual([await ask(one), await ask(two)], [['a'], ['b']]);
    // One of them cannot have all of it: nothing changes for either.
    const more = { tenant: 'b', wanted: [...part('b', one).wanted, serving('b', free)] };
    const squatter = createServer().listen(free, '127.0.0.1');
    await once(squatter, 'listening');
    await assert.rejects(listeners.prepare(part('a', two), more), ListenError);
    assert.deepEqual([await ask(one), await ask(two)], [['a'], ['b']]);
    squatter.close();

    const swapped = await listeners.prepare(part('a', two), part('b', one));
    assert.deepEqual([await ask(one), await ask(two)], [['a'], ['b']], 'not before it is committed');
    swapped.commit();
    assert.deepEqual([await ask(one), await ask(two)], [['b'], ['a']]);
    swapped.closeUnused();
    assert.deepEqual([await ask(one), await ask(two), listeners.size, freed], [['b'], ['a'], 2, 0]);
    const back = await listeners.prepare(part('a', one), part('b', free));
    back.commit();
    back.closeUnused();
    assert.deepEqual([await ask(one), await ask(two), await ask(free), freed], [['a'], [], ['b'], 1]);
  } finally {
    listeners.close();
  }
});
