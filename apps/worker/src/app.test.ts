import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type ConfigStore, StoreUnavailable } from '@arcus/control/store.ts';
import { startEcho, startOrigin } from '@arcus/testkit/origin.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until, within } from '@arcus/testkit/until.ts';
import { answered, openFolder, proxyOn, publish, workerOn } from './testing.ts';

const deny = { escapers: [{ name: 'direct', type: 'dummy_deny' }] };

async function setUp(t: TestContext) {
  const folder = tempDir('worker');
  const store = await openFolder(join(folder.path, 'store'));
  const origin = await startOrigin();
  const port = await freePort();
  const started: { close(options?: { now?: boolean }): Promise<void> }[] = [];
  t.after(async () => {
    for (const worker of started) await worker.close({ now: true });
    await store.close();
    await origin.close();
    folder.close();
  });
  const start = async (env: Record<string, string> = {}, from: ConfigStore = store) => {
    const worker = await workerOn(from, folder.path, env);
    started.push(worker);
    return worker;
  };
  const client = async (through = port) => {
    const client = await RawClient.connect({ port: through, deadline: 60_000 });
    t.after(() => client.socket.destroy());
    return client;
  };
  const get = async (client: RawClient) => {
    await client.send(`GET ${origin.url}/ HTTP/1.1\r\nHost: 127.0.0.1:${origin.port}\r\n\r\n`);
    return (await client.readResponse()).status;
  };
  /** Status of one request on a connection of its own; 0 when the connection is refused. */
  const ask = async (through = port) => {
    const one = await client(through).catch(() => null);
    if (!one) return 0;
    const status = await get(one);
    one.socket.destroy();
    return status;
  };
  return { folder, store, origin, port, start, client, get, ask };
}

test('a tenant that the store names is served, and the worker says so', async (t) => {
  const { store, port, start, ask } = await setUp(t);
  await publish(store, 'acme', 1, proxyOn(port));
  const worker = await start({ ARCUS_WORKER_LABELS: 'site=lab' });
  await worker.ready;
  assert.equal(await ask(), 200);
  assert.deepEqual(await answered(store, 'acme', (s) => s.applied > 0), { applied: 1 });
  const [record] = await until(async () => {
    const found = await store.listWorkers();
    return found[0]?.tenants === 1 ? found : null;
  });
  assert.deepEqual([record?.id, record?.labels, record?.admin], ['w1', { site: 'lab' }, worker.admin]);
  assert.equal((await worker.get('/ready')).status, 200);
  assert.equal((await worker.get('/health')).status, 200);
  // A request is counted when its session has ended, which its client may see before.
  await until(async () => {
    const metrics = await (await worker.get('/metrics')).text();
    return [
      /^arcus_server_requests_total\{tenant="acme",server="web"\} 1$/m,
      /^arcus_request_duration_seconds_count\{tenant="acme",server="web"\} 1$/m,
      /^arcus_tenants 1$/m,
    ].every((line) => line.test(metrics));
  });
});

test('a release applies to the next request of an open connection, and an open tunnel lives on', async (t) => {
  const { store, port, start, client, get } = await setUp(t);
  const echo = await startEcho();
  t.after(() => echo.close());
  const server = { connect_ports: [echo.port] };
  await publish(store, 'acme', 1, proxyOn(port, { server }));
  await (await start()).ready;
  const keepAlive = await client();
  assert.equal(await get(keepAlive), 200);
  const tunnel = await client();
  await tunnel.send(`CONNECT 127.0.0.1:${echo.port} HTTP/1.1\r\nHost: 127.0.0.1:${echo.port}\r\n\r\n`);
  assert.equal((await tunnel.readResponse({ method: 'CONNECT' })).status, 200);

  await publish(store, 'acme', 2, proxyOn(port, { server, ...deny }));
  await answered(store, 'acme', (s) => s.applied === 2);
  assert.equal(await get(keepAlive), 403);
  await tunnel.send('still there?');
  assert.equal((await tunnel.read(12)).toString(), 'still there?');
});

test('a session that a stop cuts is logged and counted, however slow the disk is', async (t) => {
  const write = fs.write as (...args: unknown[]) => void;
  t.mock.method(fs, 'write', (...args: unknown[]) => void setTimeout(() => write(...args), 50));
  const { folder, store, port, start, client } = await setUp(t);
  const echo = await startEcho();
  t.after(() => echo.close());
  await publish(store, 'acme', 1, proxyOn(port, { server: { connect_ports: [echo.port] } }));
  for (const [how, env, now] of [
    ['at once', {}, true],
    ['when the drain time is over', { ARCUS_DRAIN_SECONDS: '0.1' }, false],
  ] as const) {
    const log = join(folder.path, `${now}.log`);
    const worker = await start({ ...env, ARCUS_DECISION_LOG: log });
    await worker.ready;
    const tunnels = await Promise.all(Array.from({ length: 20 }, () => client()));
    for (const tunnel of tunnels) {
      await tunnel.send(`CONNECT 127.0.0.1:${echo.port} HTTP/1.1\r\nHost: 127.0.0.1:${echo.port}\r\n\r\n`);
      assert.equal((await tunnel.readResponse({ method: 'CONNECT' })).status, 200);
      await tunnel.send('ping');
      assert.equal((await tunnel.read(4)).toString(), 'ping');
    }
    await worker.close({ now });
    const lines = (await readFile(log, 'utf8')).trimEnd().split('\n');
    assert.equal(lines.length, tunnels.length, how);
    const { method, bytes_in, bytes_out } = JSON.parse(lines[0]!);
    assert.deepEqual([method, bytes_in >= 4, bytes_out >= 4], ['CONNECT', true, true]);
  }
});

test('a time of day that is set while a worker drains cuts nobody and keeps nobody', async (t) => {
  const { store, port, start, client } = await setUp(t);
  const echo = await startEcho();
  t.after(() => echo.close());
  await publish(store, 'acme', 1, proxyOn(port, { server: { connect_ports: [echo.port] } }));
  const worker = await start({ ARCUS_DRAIN_SECONDS: '600' });
  await worker.ready;
  const tunnel = await client();
  await tunnel.send(`CONNECT 127.0.0.1:${echo.port} HTTP/1.1\r\nHost: 127.0.0.1:${echo.port}\r\n\r\n`);
  assert.equal((await tunnel.readResponse({ method: 'CONNECT' })).status, 200);
  const idle = await client();
  const closing = worker.close();
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 3_600_000 });
  let looks = 0;
  await until(() => ++looks > 10, { every: 30 });
  await tunnel.send('ping');
  assert.equal((await tunnel.read(4)).toString(), 'ping');
  t.mock.timers.setTime(Date.now() - 7_200_000);
  // Idle ones are told to end after a second all the same.
  await idle.closed();
  await tunnel.close();
  await closing;
});

test('a port that is taken on this machine is a refusal with its place; the last good release goes on', async (t) => {
  const { store, port, start, ask } = await setUp(t);
  const taken = await startEcho();
  await publish(store, 'acme', 1, proxyOn(port));
  await (await start()).ready;
  const two = proxyOn(port, { server: { name: 'zz', listen: { address: `127.0.0.1:${taken.port}` } } });
  const both = { ...two, servers: [...proxyOn(port).servers!, ...two.servers!] };
  await publish(store, 'acme', 2, both);
  const { applied, refused } = await answered(store, 'acme', (s) => s.refused !== undefined);
  assert.equal(applied, 1);
  assert.equal(refused?.version, 2);
  assert.equal(refused?.issues[0]?.pointer, '/config/servers/1/listen');
  assert.match(refused?.issues[0]?.message ?? '', new RegExp(`127\\.0\\.0\\.1:${taken.port} is in use`));
  assert.equal(await ask(), 200);

  await taken.close();
  assert.deepEqual(await answered(store, 'acme', (s) => s.applied === 2), { applied: 2 });
  assert.equal(await ask(taken.port), 200);
});

test('an address goes from one tenant to another, whichever release comes first', async (t) => {
  const { store, port, start, ask } = await setUp(t);
  await publish(store, 'acme', 1, proxyOn(port));
  await (await start()).ready;
  await publish(store, 'beta', 1, proxyOn(port, deny));
  const { refused } = await answered(store, 'beta', (s) => s.refused !== undefined);
  assert.equal(refused?.issues[0]?.code, 'address_in_use');
  assert.doesNotMatch(refused?.issues[0]?.message ?? '', /acme/);
  assert.equal(await ask(), 200);
  await publish(store, 'acme', 2, { servers: [] });
  await answered(store, 'beta', (s) => s.applied === 1);
  assert.equal(await ask(), 403);
});

test('an address that moves to another server of the tenant, or grows to a wildcard, drops no connection', async (t) => {
  const { store, port, start, client, get, ask } = await setUp(t);
  await publish(store, 'acme', 1, proxyOn(port));
  await (await start()).ready;
  const open = await client();
  assert.equal(await get(open), 200);
  await publish(store, 'acme', 2, proxyOn(port, { server: { name: 'other' } }));
  await answered(store, 'acme', (s) => s.applied === 2);
  assert.equal(await get(open), 200);
  await publish(store, 'acme', 3, proxyOn(port, { server: { listen: { address: `0.0.0.0:${port}` } } }));
  await answered(store, 'acme', (s) => s.applied === 3);
  assert.equal(await ask(), 200);
});

test('a tenant that is inactive or deleted is not listened for any more', async (t) => {
  const { store, port, start, ask } = await setUp(t);
  await publish(store, 'acme', 1, proxyOn(port));
  await (await start()).ready;
  await publish(store, 'acme', 2, proxyOn(port), 'inactive');
  await until(async () => (await ask()) === 0);
  await publish(store, 'acme', 3, proxyOn(port), 'suspended');
  await until(async () => (await ask()) === 403);
  await publish(store, 'acme', 4, proxyOn(port));
  await until(async () => (await ask()) === 200);
  await publish(store, 'acme', 5, proxyOn(port), 'active', { deleted: true });
  await until(async () => (await ask()) === 0);
  await until(async () => (await store.listStatus('acme')).size === 0);
});

test('a release that cannot be compiled is refused, and no other tenant notices', async (t) => {
  const { store, port, start, ask } = await setUp(t);
  await publish(store, 'acme', 1, proxyOn(port));
  await (await start()).ready;
  const beta = await freePort();
  await publish(store, 'acme', 2, proxyOn(port, { server: { escaper: 'nowhere' } }));
  await publish(store, 'beta', 1, proxyOn(beta));
  const { applied, refused } = await answered(store, 'acme', (s) => s.refused !== undefined);
  assert.equal(applied, 1);
  assert.equal(refused?.issues[0]?.pointer, '/config/servers/0/escaper');
  await answered(store, 'beta', (s) => s.applied === 1);
  assert.deepEqual([await ask(), await ask(beta)], [200, 200]);
  await publish(store, 'acme', 3, proxyOn(port));
  assert.deepEqual(await answered(store, 'acme', (s) => s.applied === 3), { applied: 3 });
});

/** A store whose calls fail, as when it is away. */
function away(store: ConfigStore): ConfigStore {
  const fail = () => Promise.reject(new StoreUnavailable('the store is away'));
  return new Proxy(store, {
    get: (target, key) => {
      if (key === 'watchHeads') {
        return async function* (signal: AbortSignal) {
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
        };
      }
      return typeof target[key as keyof ConfigStore] === 'function' ? fail : target[key as keyof ConfigStore];
    },
  });
}

test('a restarted worker serves what it ran while the store is away, and is ready', async (t) => {
  const { folder, store, port, start, client, ask } = await setUp(t);
  // Long enough for blobs with files of their own.
  const host = (i: number) => `${createHash('sha256').update(`${i}`).digest('hex').slice(0, 60)}.example`;
  const long = (end: string) => [
    {
      name: 'long',
      type: 'url_filter',
      rules: [{ action: 'block', exact_match: [...Array.from({ length: 5_000 }, (_, i) => host(i)), end] }],
    },
  ];
  const blocked = `GET http://${host(4_999)}/ HTTP/1.1\r\nHost: x\r\n\r\n`;
  await publish(store, 'acme', 1, proxyOn(port));
  const first = await start();
  await first.ready;
  await publish(store, 'acme', 2, proxyOn(port, { policies: long('two.example') }));
  await answered(store, 'acme', (s) => s.applied === 2);
  await publish(store, 'acme', 3, proxyOn(port, { policies: long('three.example') }));
  await answered(store, 'acme', (s) => s.applied === 3);
  await first.close({ now: true });
  const kept = await readdir(join(folder.path, 'worker', 'w1', 'blobs'));
  assert.ok(kept.length > 1, 'large blobs have files of their own');
  await rm(join(folder.path, 'store'), { recursive: true });

  const second = await start({}, away(store));
  await within(second.ready, 'ready', 60_000);
  assert.equal(await ask(), 200);
  const through = await client();
  await through.send(blocked);
  assert.equal((await through.readResponse()).status, 403);
  await until(async () => {
    const health = (await (await second.get('/health')).json()) as { status: string };
    return health.status === 'degraded';
  });
});

test('a snapshot that was altered costs one tenant until the store is back, and no other', async (t) => {
  const { folder, store, port, start, ask } = await setUp(t);
  const beta = await freePort();
  await publish(store, 'acme', 1, proxyOn(port));
  await publish(store, 'beta', 1, proxyOn(beta));
  const first = await start();
  await first.ready;
  await first.close({ now: true });
  const file = join(folder.path, 'worker', 'w1', 'tenants', 'acme');
  const bytes = await readFile(file);
  bytes[bytes.length - 5]! ^= 1;
  await writeFile(file, bytes);

  const second = await start({}, away(store));
  await within(second.ready, 'ready', 60_000);
  assert.deepEqual([await ask(), await ask(beta)], [0, 200]);
  await second.close({ now: true });
  const third = await start();
  await until(async () => (await ask()) === 200);
  await third.close({ now: true });
  assert.deepEqual((await readdir(join(folder.path, 'worker', 'w1', 'tenants'))).sort(), ['acme', 'beta']);
});

test('a worker without a snapshot is not ready before it has heard of the store', async (t) => {
  const { store, port, start, ask } = await setUp(t);
  await publish(store, 'acme', 1, proxyOn(port));
  const worker = await start({}, away(store));
  worker.ready.catch(() => {});
  assert.equal((await worker.get('/ready')).status, 503);
  assert.equal(await ask(), 0);
});

test('a tenant whose store answers never holds up no other, and a burst is served by its newest release', async (t) => {
  const { store, port, start, ask } = await setUp(t);
  let open = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  let asked = 0;
  let heard = 0;
  const slow: ConfigStore = new Proxy(store, {
    get: (target, key) => {
      if (key === 'getManifest') {
        return async (tenant: string, version: number) => {
          if (tenant === 'slow') {
            asked++;
            if (version === 1) await gate;
          }
          return target.getManifest(tenant, version);
        };
      }
      if (key === 'watchHeads') {
        return async function* (signal: AbortSignal) {
          for await (const event of target.watchHeads(signal)) {
            yield event;
            // Here it asks for the next one: this one is an order.
            if (event.type === 'put' && event.tenant === 'slow') heard = event.head.seq;
          }
        };
      }
      const value = target[key as keyof ConfigStore];
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
  const slowPort = await freePort();
  await publish(store, 'slow', 1, proxyOn(slowPort, deny));
  await start({}, slow);
  await until(() => asked === 1);
  await publish(store, 'acme', 1, proxyOn(port));
  await until(async () => (await ask()) === 200);
  for (let version = 2; version <= 20; version++) await publish(store, 'slow', version, proxyOn(slowPort));
  await publish(store, 'acme', 2, proxyOn(port));
  await answered(store, 'acme', (s) => s.applied === 2);
  await until(() => heard === 20);
  open();
  await answered(store, 'slow', (s) => s.applied === 20);
  assert.equal(await ask(slowPort), 200);
  assert.ok(asked <= 3, `${asked} releases were loaded`);
});

test('a Redis that cannot be reached holds up nothing and is counted', async (t) => {
  const { store, port, start, ask } = await setUp(t);
  await publish(store, 'acme', 1, proxyOn(port));
  const worker = await start({ ARCUS_REDIS_URL: `redis://127.0.0.1:${await freePort()}` });
  await worker.ready;
  assert.equal(await ask(), 200);
  await until(async () => /^arcus_redis_flush_failures_total [1-9]/m.test(await (await worker.get('/metrics')).text()));
});

test('a worker that is stopped finishes what runs, takes nothing new, and stops at once when told twice', async (t) => {
  const { store, port, start, client, ask } = await setUp(t);
  const echo = await startEcho();
  t.after(() => echo.close());
  await publish(store, 'acme', 1, proxyOn(port, { server: { connect_ports: [echo.port] } }));
  const worker = await start({ ARCUS_DRAIN_SECONDS: '600' });
  await worker.ready;
  const idle = await client();
  const tunnel = await client();
  await tunnel.send(`CONNECT 127.0.0.1:${echo.port} HTTP/1.1\r\nHost: 127.0.0.1:${echo.port}\r\n\r\n`);
  assert.equal((await tunnel.readResponse({ method: 'CONNECT' })).status, 200);
  const closed = worker.close();
  assert.equal(await idle.closed(), 'end');
  assert.equal((await worker.get('/ready')).status, 503);
  assert.equal(await ask(), 0);
  await tunnel.send('bye');
  assert.equal((await tunnel.read(3)).toString(), 'bye');
  void worker.close({ now: true });
  await within(closed, 'the worker stops', 60_000);
  assert.equal(await tunnel.closed(), 'reset');
  const left = await store.listWorkers();
  assert.deepEqual(
    left.map((record) => record.left),
    [true],
    'it said goodbye',
  );
});

test('an admin address that is taken is a clear error', async (t) => {
  const { start } = await setUp(t);
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => server.close());
  const { port } = server.address() as net.AddressInfo;
  await assert.rejects(
    start({ ARCUS_ADMIN_LISTEN: `127.0.0.1:${port}` }),
    new RegExp(`${port} is in use.*ARCUS_ADMIN_LISTEN`),
  );
});
