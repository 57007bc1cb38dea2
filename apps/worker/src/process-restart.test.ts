import assert from 'node:assert/strict';
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { freeze } from '@arcus/testkit/freeze.ts';
import { until } from '@arcus/testkit/until.ts';
import { killNow, LONG, setUp, startLoad } from './process-testing.ts';
import { readRecord } from './snapshot-record.ts';
import { answered, proxyOn, publish } from './testing.ts';

const alive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

test('who waits in the queue of a process that is killed is served by another', async (t) => {
  const { pids, client, url } = await setUp(t);
  const [first] = pids();
  await freeze(first!);
  const clients = await Promise.all(Array.from({ length: 24 }, () => client()));
  for (const one of clients) await one.send(`GET ${url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
  process.kill(first!, 'SIGKILL');
  for (const one of clients) assert.equal((await one.readResponse()).status, 200);
});

test('a process that is killed under load costs its own connections and no other', async (t) => {
  const { pids, port, url, metrics, output, tunnel } = await setUp(t);
  const load = startLoad(port, url);
  await load.each(20);
  const [first] = pids();
  // No connection is begun before it is dead.
  killNow(first!);
  const killed = performance.now();
  await until(() => pids().length === 3, LONG);
  await until(async () => /^arcus_listeners\{process="0"\} 1$/m.test(await metrics()), LONG);
  const before = { ...load.asked };
  await until(() => load.asked['new connection'] > before['new connection'] + 200, LONG);
  await load.stop();
  assert.deepEqual(
    load.failures.filter((failure) => failure.since > killed),
    [],
  );
  assert.ok(load.failures.length <= 12, JSON.stringify(load.failures));
  assert.match(output(), /"signal":"SIGKILL".*a process of the worker died and is replaced/);
  const open = await tunnel();
  await open.send('ping');
  assert.equal((await open.read(4)).toString(), 'ping');
});

test('a restart of all processes under load fails no request, refuses no connection and drops no tunnel', async (t) => {
  const { main, pids, port, url, tunnel, logged, client, metrics, store } = await setUp(t);
  const before = pids();
  // So many that each process has some.
  const tunnels = await Promise.all(Array.from({ length: 32 }, () => tunnel()));
  const idle = await Promise.all(Array.from({ length: 4 }, () => client()));
  const load = startLoad(port, url);
  await load.each(10);
  main.kill('SIGHUP');
  await logged('all processes of the worker are replaced');
  const then = { ...load.asked };
  await until(() => load.asked['keep-alive'] > then['keep-alive'] + 100, LONG);
  // Each that was open before the restart, with an answer of the process that leaves.
  await until(() => load.announced() >= 6, { ...LONG, what: 'the connections are told that they end' });
  await load.stop();
  assert.deepEqual(load.failures, []);
  assert.equal(pids().length, 4);
  assert.deepEqual(
    before.map((pid) => pids().slice(2).includes(pid)),
    [false, false],
  );
  // The old ones are there as long as their tunnels, and follow the releases: an old connection is not judged by old rules.
  for (const one of tunnels) {
    await one.send('ping');
    assert.equal((await one.read(4)).toString(), 'ping');
  }
  await publish(store, 'acme', 2, proxyOn(port, { escapers: [{ name: 'direct', type: 'dummy_deny' }] }));
  assert.deepEqual(await answered(store, 'acme', (s) => s.applied === 2), { applied: 2 });
  await until(async () => {
    const text = await metrics();
    return before.every((pid) =>
      new RegExp(`^arcus_releases_applied_total\\{.*leaving="${pid}"\\} 2$`, 'm').test(text),
    );
  }, LONG);
  for (const one of idle) {
    const answer = await one.request(`GET ${url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.deepEqual([answer.status, answer.headers.connection], [403, 'close']);
  }
  for (const one of tunnels) one.socket.destroy();
  await until(() => !before.some(alive), LONG);
});

test('a limit of connections per client holds for both processes together', async (t) => {
  const { client, url } = await setUp(t, { server: { limits: { sessions_per_client: 10 } } });
  const ask = async () => {
    const one = await client();
    await one.send(`GET ${url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    const { status } = await one.readResponse();
    if (status !== 200) one.socket.destroy();
    return { one, status };
  };
  const open = [];
  for (let i = 0; i < 10; i++) {
    const { one, status } = await ask();
    assert.equal(status, 200, `connection ${i + 1}`);
    open.push(one);
  }
  // Once both have heard of each other not one more is let in.
  let refused = 0;
  await until(async () => {
    const { one, status } = await ask();
    one.socket.destroy();
    refused = status === 429 ? refused + 1 : 0;
    return refused === 12;
  }, LONG);
  for (const one of open.splice(0, 5)) one.socket.destroy();
  await until(async () => {
    const { one, status } = await ask();
    if (status === 200) open.push(one);
    return open.length >= 10;
  }, LONG);
});

test('a tunnel that is open when the drain time of a restart is over is cut, and its process ends', async (t) => {
  const { main, pids, tunnel, logged, ask } = await setUp(t, { env: { ARCUS_DRAIN_SECONDS: '1' } });
  const before = pids();
  const tunnels = await Promise.all(Array.from({ length: 4 }, () => tunnel()));
  main.kill('SIGHUP');
  for (const one of tunnels) assert.equal(await one.closed(), 'reset');
  await until(() => !before.some(alive), LONG);
  await logged('all processes of the worker are replaced');
  assert.equal(await ask(), 200);
});

test('a process that outlives the one in front runs new releases, and leaves the snapshot to those that come', async (t) => {
  const { main, exited, pids, tunnel, ask, logged, store, folder, port } = await setUp(t);
  const open = await tunnel();
  const snapshots = pids().map((_, index) => join(folder, 'worker', 'w1', `process-${index}`));
  const saved = () =>
    Promise.all(
      snapshots.map(async (snapshot) => {
        return readRecord('acme', await readFile(join(snapshot, 'tenants', 'acme'))).index.head.seq;
      }),
    );
  await until(async () => (await saved()).join() === '1,1', LONG);
  // Nothing is left to write for what they have: then they hold their snapshots as soon as they are alone.
  await until(() => Promise.all(snapshots.map((snapshot) => access(join(snapshot, 'listed')))), LONG);
  main.kill('SIGKILL');
  await exited;
  // One has nothing open and ends; the other has a tunnel, and knows that it is alone.
  await until(() => pids().filter(alive).length === 1, LONG);
  await until(async () => (await ask()) === 0, LONG);
  await publish(store, 'acme', 2, proxyOn(port));
  await logged('release applied');
  open.socket.destroy();
  await until(() => !pids().some(alive), LONG);
  assert.deepEqual(await saved(), [1, 1]);
});
