/** Limits of tenants and users, as clients meet them. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startEcho, startOrigin } from '@arcus/testkit/origin.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until } from '@arcus/testkit/until.ts';
import { answered, type Config, openFolder, proxyOn, publish, workerOn } from './testing.ts';

/** One in 1000 s: nothing flows in while a test runs. */
const RARE = 0.001;

async function setUp(t: TestContext) {
  const folder = tempDir('limits');
  const store = await openFolder(join(folder.path, 'store'));
  const [origin, echo] = [await startOrigin(), await startEcho()];
  const worker = await workerOn(store, folder.path);
  t.after(async () => {
    await worker.close({ now: true });
    await Promise.all([store.close(), origin.close(), echo.close()]);
    folder.close();
  });
  const versions = new Map<string, number>();
  const release = async (tenant: string, config: Config, limits = {}) => {
    const version = (versions.get(tenant) ?? 0) + 1;
    versions.set(tenant, version);
    await publish(store, tenant, version, config, 'active', {}, limits);
    const { refused } = await answered(store, tenant, (s) => s.applied === version || s.refused !== undefined);
    assert.equal(refused, undefined);
  };
  const client = async (port: number) => {
    const one = await RawClient.connect({ port, deadline: 60_000 });
    t.after(() => one.socket.destroy());
    return one;
  };
  const get = (user = '') => {
    const login = user && `Proxy-Authorization: Basic ${Buffer.from(`${user}:pw`).toString('base64')}\r\n`;
    return `GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n${login}\r\n`;
  };
  const connect = `CONNECT 127.0.0.1:${echo.port} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const metrics = async () => (await worker.get('/metrics')).text();
  return { release, client, get, connect, echo, metrics };
}

const sha1 = createHash('sha1').update('spw').digest('hex');
const user = (name: string, more: object = {}) => ({ name, token: { salt: 's', sha1 }, ...more });

test('a tenant has so many requests and tunnels per second; a release fills nothing, and no other tenant notices', async (t) => {
  const { release, client, get, connect, echo, metrics } = await setUp(t);
  const [port, other] = [await freePort(), await freePort()];
  const config = proxyOn(port, { server: { connect_ports: [echo.port] } });
  await release('beta', proxyOn(other), { max_requests_per_second: RARE });
  await release('acme', config, { max_requests_per_second: RARE });
  const one = await client(port);
  assert.equal((await one.request(get())).status, 200);
  for (let i = 0; i < 2; i++) {
    const refused = await one.request(get());
    assert.deepEqual([refused.status, refused.headers['arcus-error']], [429, 'rate_limited']);
    assert.match(refused.headers['retry-after'] ?? '', /^(9\d\d|1000)$/);
    assert.equal(refused.headers.connection, undefined, 'the connection goes on');
  }
  const tunnel = await client(port);
  const refused = await tunnel.request(connect);
  assert.deepEqual([refused.status, refused.headers.connection], [429, 'close']);
  assert.match(refused.text, /max_requests_per_second of this tenant is used up/);
  // A session is counted when it has ended, which its client may see before.
  await until(async () => /^arcus_tenant_blocked_total\{tenant="acme"\} 3$/m.test(await metrics()));

  await release('acme', { ...config, policies: [] }, { max_requests_per_second: RARE * 2 });
  assert.equal((await one.request(get())).status, 429);
  assert.equal((await (await client(other)).request(get())).status, 200, 'of another tenant');
  await release('acme', config);
  assert.equal((await one.request(get())).status, 200, 'without a limit');
});

test('a user has so many sessions per second over all connections and servers, others of its group their own', async (t) => {
  const { release, client, get } = await setUp(t);
  const [a, b] = [await freePort(), await freePort()];
  const server = { type: 'http_proxy', escaper: 'direct', user_group: 'staff' };
  const config = (rate: number): Config => ({
    ...proxyOn(0),
    servers: [
      { name: 'a', listen: { address: `127.0.0.1:${a}` }, ...server },
      { name: 'b', listen: { address: `127.0.0.1:${b}` }, ...server },
    ],
    user_groups: [
      {
        ...{ name: 'staff', type: 'basic' },
        static_users: [
          user('ann', { request_rate_limit: rate }),
          user('bob', { request_rate_limit: rate }),
          user('cid'),
        ],
      },
    ],
  });
  await release('acme', config(RARE));
  const one = await client(a);
  assert.equal((await one.request(get('ann'))).status, 200);
  const refused = await one.request(get('ann'));
  assert.deepEqual([refused.status, refused.headers['arcus-error']], [429, 'rate_limited']);
  assert.match(refused.headers['retry-after'] ?? '', /^(9\d\d|1000)$/);
  assert.match(refused.text, /request_rate_limit of user ann is used up/);
  assert.equal((await (await client(b)).request(get('ann'))).status, 429);
  assert.equal((await one.request(get('bob'))).status, 200);
  for (let i = 0; i < 3; i++) assert.equal((await one.request(get('cid'))).status, 200);
  await release('acme', config(RARE * 2));
  assert.equal((await one.request(get('ann'))).status, 429, 'a release fills nothing');
});

test('who does not prove to be a user takes nothing from it', async (t) => {
  const { release, client, get } = await setUp(t);
  const port = await freePort();
  const users = [user('ann', { request_rate_limit: RARE })];
  await release('acme', {
    ...proxyOn(port, { server: { user_group: 'staff' } }),
    user_groups: [{ name: 'staff', type: 'basic', static_users: users }],
  });
  const one = await client(port);
  const wrong = get('ann').replace(/Basic .*/, `Basic ${Buffer.from('ann:no').toString('base64')}`);
  for (let i = 0; i < 3; i++) assert.equal((await one.request(wrong)).status, 407);
  assert.equal((await one.request(get('ann'))).status, 200);
});

test('a tenant has so many connections over all its servers, and each that ends makes room', async (t) => {
  const { release, client, get } = await setUp(t);
  const [a, b, other] = [await freePort(), await freePort(), await freePort()];
  const server = { type: 'http_proxy', escaper: 'direct' };
  const config: Config = {
    ...proxyOn(0),
    servers: [
      { name: 'a', listen: { address: `127.0.0.1:${a}` }, ...server },
      { name: 'b', listen: { address: `127.0.0.1:${b}` }, ...server },
    ],
  };
  await release('acme', config);
  await release('beta', proxyOn(other), { max_concurrent_connections: 1 });
  const open = [await client(a), await client(b)];
  for (const one of open) assert.equal((await one.request(get())).status, 200);
  // Those that were open before there was a limit count as well.
  await release('acme', config, { max_concurrent_connections: 2 });
  for (const port of [a, b]) {
    const one = await client(port);
    const refused = await one.readResponse();
    assert.deepEqual([refused.status, refused.headers['arcus-error']], [429, 'too_many_sessions']);
    assert.match(refused.text, /2 connections of this tenant are open/);
    assert.equal(await one.closed(), 'end');
  }
  assert.equal((await (await client(other)).request(get())).status, 200, 'of another tenant');
  assert.equal((await open[0]!.request(get())).status, 200, 'those that are open go on');
  open[0]!.socket.destroy();
  await until(async () => {
    const one = await client(b);
    await one.send(get());
    const { status } = await one.readResponse();
    return status === 200;
  });
  assert.equal((await (await client(a)).readResponse()).status, 429);
});

test('a release with limits that are none any more is served', async (t) => {
  const { release, client, get } = await setUp(t);
  const port = await freePort();
  await release('acme', proxyOn(port), { max_memory_mb: 512, max_cpu_cores: 2, max_bandwidth_mbps: 10 });
  assert.equal((await (await client(port)).request(get())).status, 200);
});
