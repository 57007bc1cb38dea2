/** Addresses that go from one tenant to another, in whatever order a worker meets the releases. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { TenantStatus } from '@arcus/control/release.ts';
import type { CompileDeps } from '@arcus/gateway/compile.ts';
import { Limits } from '@arcus/gateway/limits.ts';
import { Live } from '@arcus/gateway/live.ts';
import { Stats } from '@arcus/gateway/stats.ts';
import { Wheel } from '@arcus/gateway/wheel.ts';
import { testKeys } from '@arcus/testkit/keys.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until } from '@arcus/testkit/until.ts';
import pino from 'pino';
import { Listeners } from './listeners.ts';
import { ReleaseLoader } from './loader.ts';
import { Runtime } from './runtime.ts';
import { answered, openFolder, proxyOn, publish, workerOn } from './testing.ts';

/** Who waits for an address tries again ever later. */
const LONG = { deadline: 60_000 };

/** A runtime with real listeners on a store in a folder, and all that it answered. */
async function setUp(t: TestContext) {
  const dir = tempDir('addresses');
  const store = await openFolder(join(dir.path, 'store'));
  const wheel = new Wheel();
  const said: [string, TenantStatus | null][] = [];
  let onFreed = () => {};
  const listeners = new Listeners({ onFreed: () => onFreed() });
  const services = { now: Date.now, wheel, stats: new Stats(), limits: new Limits(Date.now), record: () => {} };
  const runtime = new Runtime({
    ...{
      worker: { id: 'w', labels: {} },
      verifier: testKeys().verifier,
      live: new Live(),
      loader: new ReleaseLoader(),
    },
    ...{ listeners, store, snapshot: { put: async () => {}, save: () => {} }, drainMs: 100, forget: () => {} },
    compile: {
      services: { ...services, worker: 'w' },
      unseal: (v: string) => v,
      stored: true,
    } as unknown as CompileDeps,
    report: (tenant, status) => void said.push([tenant, status]),
    log: pino({ level: 'silent' }),
  });
  onFreed = runtime.retryAddresses;
  t.after(async () => {
    runtime.close();
    listeners.destroy();
    wheel.close();
    await store.close();
    dir.close();
  });
  return {
    ...{ store, runtime, said },
    onFreed: (then: () => void) => {
      onFreed = then;
    },
    /** Publishes, and tells the runtime. */
    give: async (tenant: string, version: number, config: object) => {
      await publish(store, tenant, version, config);
      runtime.want(tenant, (await store.getHead(tenant))!.head);
    },
    last: (tenant: string) => said.findLast(([who]) => who === tenant)?.[1],
    refusals: (tenant: string) => said.filter(([who, status]) => who === tenant && status?.refused),
  };
}

const rules = (count: number) => ({
  policies: [
    {
      ...{ name: 'many', type: 'url_filter' },
      rules: Array.from({ length: count }, (_, i) => ({ exact_match: `s${i}.example`, action: 'block' })),
    },
  ],
});

test('tenants that changed places while the worker was away do so in one step', async (t) => {
  const dir = tempDir('places');
  const store = await openFolder(join(dir.path, 'store'));
  const ports = [await freePort(), await freePort(), await freePort()];
  const free = await freePort();
  const tenants = ['a', 'b', 'c'];
  for (const [i, tenant] of tenants.entries()) await publish(store, tenant, 1, proxyOn(ports[i]!));
  let worker = await workerOn(store, join(dir.path, 'worker'));
  t.after(async () => {
    await worker.close({ now: true });
    await store.close();
    dir.close();
  });
  for (const tenant of tenants) await answered(store, tenant, (status) => status.applied === 1);
  await worker.close();
  // At no time do two of them want the same address; who looks only at the end sees each wait for another.
  await publish(store, 'c', 2, proxyOn(free));
  await publish(store, 'b', 2, proxyOn(ports[2]!));
  await publish(store, 'a', 2, proxyOn(ports[1]!));
  await publish(store, 'c', 3, proxyOn(ports[0]!));
  worker = await workerOn(store, join(dir.path, 'worker'));
  for (const [tenant, version] of [['a', 2] as const, ['b', 2] as const, ['c', 3] as const]) {
    const status = await answered(store, tenant, ({ applied }) => applied === version);
    assert.deepEqual(status, { applied: version });
  }
  for (const port of ports) {
    const client = await RawClient.connect({ port });
    await client.send('GET /none HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.ok((await client.readResponse()).status >= 400);
    client.socket.destroy();
  }
});

test('a circle that something else keeps shut stays as it is, each told its own; it opens by itself', async (t) => {
  const { give, last, runtime } = await setUp(t);
  const [one, two, taken] = [await freePort(), await freePort(), await freePort()];
  const squatter = createServer().listen(taken, '127.0.0.1');
  await until(() => squatter.listening);
  await give('a', 1, proxyOn(one));
  await give('b', 1, proxyOn(two));
  await runtime.settled();
  const second = { name: 'second', type: 'http_proxy', listen: { address: `127.0.0.1:${taken}` }, escaper: 'direct' };
  const both = proxyOn(one);
  await give('b', 2, { ...both, servers: [...both.servers!, second] });
  await give('a', 2, proxyOn(two));
  await until(() => last('a')?.refused && last('b')?.refused, LONG);
  const told = (tenant: string) => last(tenant)!.refused!.issues.map((issue) => issue.message);
  assert.deepEqual(told('a'), [`127.0.0.1:${two} is used by another tenant.`]);
  assert.deepEqual(told('b'), [
    `127.0.0.1:${one} is used by another tenant.`,
    `127.0.0.1:${taken} is in use on this machine.`,
  ]);
  assert.deepEqual([last('a')!.applied, last('b')!.applied], [1, 1]);
  squatter.close();
  await until(() => last('a')?.applied === 2 && last('b')?.applied === 2, LONG);
  assert.deepEqual([last('a'), last('b')], [{ applied: 2 }, { applied: 2 }]);
});

test('who waits for an address that is about to be given up is not told that it is taken', async (t) => {
  const { give, last, refusals, runtime } = await setUp(t);
  const [one, two, three] = [await freePort(), await freePort(), await freePort()];
  await give('large', 1, proxyOn(one));
  await give('small', 1, proxyOn(two));
  await give('third', 1, proxyOn(three));
  await runtime.settled();
  await give('large', 2, proxyOn(await freePort(), rules(30_000)));
  await give('small', 2, proxyOn(one));
  await give('third', 2, proxyOn(two));
  await until(() => last('third')?.applied === 2, LONG);
  assert.deepEqual([last('large'), last('small')], [{ applied: 2 }, { applied: 2 }]);
  assert.deepEqual([...refusals('small'), ...refusals('third')], []);
});

test('an address that becomes free as a newer release comes does not bring the older one back', async (t) => {
  const { give, last, onFreed, runtime, store } = await setUp(t);
  const [taken, other, free] = [await freePort(), await freePort(), await freePort()];
  await give('a', 1, proxyOn(taken));
  await give('b', 1, proxyOn(other));
  await runtime.settled();
  await give('b', 2, proxyOn(taken));
  await until(() => last('b')?.refused, LONG);
  await publish(store, 'b', 3, proxyOn(free));
  const { head } = (await store.getHead('b'))!;
  let told = false;
  onFreed(() => {
    runtime.retryAddresses();
    // In the same turn of the event loop, before the try that was just arranged.
    queueMicrotask(() => {
      runtime.want('b', head);
      told = true;
    });
  });
  await give('a', 2, proxyOn(await freePort()));
  await until(() => told && last('b')?.applied === 3, LONG);
  await runtime.settled();
  assert.deepEqual(last('b'), { applied: 3 });
});
