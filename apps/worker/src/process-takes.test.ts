import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { Taken } from '@arcus/gateway/limits.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { until } from '@arcus/testkit/until.ts';
import { Takes } from './process-takes.ts';
import { LONG, setUp } from './process-testing.ts';
import { answered, proxyOn, publish } from './testing.ts';

function takes(t: TestContext) {
  const tellings: (readonly Taken[])[] = [];
  const takes = new Takes((taken) => tellings.push(taken));
  t.after(() => takes.close());
  return { takes, tellings };
}

test('what comes between two tellings is one telling, and what one telling cannot hold is told in the next', async (t) => {
  const { takes: one, tellings } = takes(t);
  for (let i = 0; i < 3; i++) one.took('acme', 'staff\0ann', 5);
  one.took('acme', '', 10);
  one.took('beta', '', 1);
  await until(() => tellings.length === 1);
  assert.deepEqual(tellings[0], [
    ['acme', 'staff\0ann', 3, 5],
    ['acme', '', 1, 10],
    ['beta', '', 1, 1],
  ]);
  for (let i = 0; i < 4500; i++) one.took('acme', `staff\0u${i}`, 1);
  await until(() => tellings.length === 4);
  assert.deepEqual(
    tellings.slice(1).map((taken) => taken.length),
    [2000, 2000, 500],
  );
});

test('a process that ends tells what is left', (t) => {
  const { takes: one, tellings } = takes(t);
  for (let i = 0; i < 2500; i++) one.took('acme', `staff\0u${i}`, 1);
  one.close();
  assert.deepEqual(
    tellings.map((taken) => taken.length),
    [2000, 500],
  );
});

const sha1 = createHash('sha1').update('spw').digest('hex');
const names = Array.from({ length: 200 }, (_, i) => `u${i}`);

test('two processes let a user through as one would, but for what comes before they have heard', async (t) => {
  const { store, port, url, client, metrics } = await setUp(t);
  const static_users = names.map((name) => ({ name, token: { salt: 's', sha1 }, request_rate_limit: 0.001 }));
  const user_groups = [{ name: 'staff', type: 'basic', static_users }];
  const config = proxyOn(port, { server: { user_group: 'staff' } });
  await publish(store, 'acme', 2, { ...config, user_groups });
  await answered(store, 'acme', (s) => s.applied === 2);
  let asked = 0;
  const ask = async (name: string) => {
    asked++;
    const one = await client();
    const login = `Proxy-Authorization: Basic ${Buffer.from(`${name}:pw`).toString('base64')}\r\n`;
    await one.send(`GET ${url}/ HTTP/1.1\r\nHost: x\r\n${login}Connection: close\r\n\r\n`);
    const { status } = await one.readResponse();
    one.socket.destroy();
    return status;
  };
  const fresh = names.values();
  // Each time another user. Its numbers come to the process in front no sooner than what it has taken, most likely.
  await until(
    async () => {
      const name = fresh.next().value!;
      assert.equal(await ask(name), 200);
      const counted = new RegExp(`^arcus_server_requests_total\\{tenant="acme",server="web"\\} ${asked}$`, 'm');
      await until(async () => counted.test(await metrics()), LONG);
      // Twenty new connections: both processes get some.
      const statuses = new Set<number>();
      for (let i = 0; i < 20; i++) statuses.add(await ask(name));
      return statuses.size === 1 && statuses.has(429);
    },
    { what: 'nobody lets a user through a second time', ...LONG },
  );
});

test('two processes let in as many connections of a tenant as one would', async (t) => {
  const { store, port, url, ask } = await setUp(t);
  await publish(store, 'acme', 2, proxyOn(port), 'active', {}, { max_concurrent_connections: 4 });
  await answered(store, 'acme', (s) => s.applied === 2);
  for (let i = 0; i < 4; i++) {
    const one = await RawClient.connect({ port, ...LONG });
    t.after(() => one.socket.destroy());
    assert.equal((await one.request(`GET ${url}/ HTTP/1.1\r\nHost: x\r\n\r\n`)).status, 200);
  }
  await until(async () => {
    const statuses = new Set<number>();
    for (let i = 0; i < 20; i++) statuses.add(await ask());
    return statuses.size === 1 && statuses.has(429);
  }, LONG);
});
