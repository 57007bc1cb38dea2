import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { testKeys } from '@arcus/testkit/keys.ts';
import { startEcho, startOrigin } from '@arcus/testkit/origin.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until, within } from '@arcus/testkit/until.ts';
import { Claims } from './claims.ts';
import { sumOf } from './process-group.ts';
import { answered, openFolder, proxyOn, publish } from './testing.ts';

const issue = { pointer: '', message: 'no', code: 'x' };

test('a worker of several processes runs the oldest version of any, and refuses what one refuses', () => {
  assert.equal(sumOf([undefined, undefined]), null);
  assert.deepEqual(sumOf([{ applied: 3 }, { applied: 2 }]), { applied: 2 });
  assert.deepEqual(sumOf([{ applied: 3 }, undefined]), { applied: 0 });
  const refused = { version: 4, issues: [issue] };
  assert.deepEqual(sumOf([{ applied: 4 }, { applied: 3, refused }]), { applied: 3, refused });
});

/** A worker of two processes as a program, with one tenant on `port`. */
async function setUp(t: TestContext) {
  const folder = tempDir('group');
  const store = await openFolder(join(folder.path, 'store'));
  const [origin, echo] = [await startOrigin(), await startEcho()];
  const [port, adminPort] = [await freePort(), await freePort()];
  await publish(store, 'acme', 1, proxyOn(port, { server: { connect_ports: [echo.port] } }));
  const main = spawn(process.execPath, [fileURLToPath(new URL('./main.ts', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      ARCUS_DATA: folder.path,
      ARCUS_STORE_URL: `file:${join(folder.path, 'store')}`,
      ARCUS_VERIFY_KEYS: testKeys().env.ARCUS_VERIFY_KEYS,
      ARCUS_WORKER_ID: 'w1',
      ARCUS_PROCESSES: '2',
      ARCUS_ADMIN_LISTEN: `127.0.0.1:${adminPort}`,
      ARCUS_DECISION_LOG: join(folder.path, 'decisions.log'),
      ARCUS_DRAIN_SECONDS: '20',
    },
  });
  let output = '';
  main.stdout.on('data', (chunk) => {
    output += chunk;
  });
  const exited = once(main, 'exit');
  t.after(async () => {
    main.kill('SIGKILL');
    await exited;
    await Promise.all([store.close(), origin.close(), echo.close()]);
    folder.close();
  });
  const metrics = async () => (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  const client = async (through = port) => {
    const client = await RawClient.connect({ port: through });
    t.after(() => client.socket.destroy());
    return client;
  };
  const ask = async (through = port) => {
    const one = await client(through).catch(() => null);
    if (!one) return 0;
    await one.send(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    const { status } = await one.readResponse();
    one.socket.destroy();
    return status;
  };
  const tunnel = async () => {
    const one = await client();
    await one.send(`CONNECT 127.0.0.1:${echo.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.equal((await one.readResponse({ method: 'CONNECT' })).status, 200);
    return one;
  };
  const pids = (): number[] => {
    const lines = output.split('\n').filter((line) => line.includes('"a process of the worker started"'));
    return lines.map((line) => (JSON.parse(line) as { pid: number }).pid);
  };
  await answered(store, 'acme', (s) => s.applied === 1);
  await until(async () =>
    /^arcus_listeners\{process="0"\} 1\narcus_listeners\{process="1"\} 1$/m.test(await metrics()),
  );
  return { store, port, main, exited, metrics, client, ask, tunnel, pids, output: () => output };
}

test('two processes answer on one address, and their numbers are one worker’s', async (t) => {
  const { store, port, metrics, ask, pids } = await setUp(t);
  for (let i = 0; i < 40; i++) assert.equal(await ask(), 200);
  await until(async () => /^arcus_server_requests_total\{tenant="acme",server="web"\} 40$/m.test(await metrics()));
  const text = await metrics();
  assert.match(text, /^arcus_listeners\{process="0"\} 1$/m);
  assert.match(text, /^arcus_listeners\{process="1"\} 1$/m);
  assert.equal(pids().length, 2);
  assert.equal((await store.listWorkers()).length, 1);

  await publish(store, 'acme', 2, proxyOn(port, { escapers: [{ name: 'direct', type: 'dummy_deny' }] }));
  assert.deepEqual(await answered(store, 'acme', (s) => s.applied === 2), { applied: 2 });
  for (let i = 0; i < 10; i++) assert.equal(await ask(), 403);
});

test('an address of another worker on this machine is refused, though the kernel would let both have it', async (t) => {
  const { store, port, ask } = await setUp(t);
  const other = await freePort();
  const theirs = new Claims<string>();
  assert.ok(await theirs.claim(`127.0.0.1:${other}`, 'x'));
  await publish(store, 'acme', 2, proxyOn(other));
  const { applied, refused } = await answered(store, 'acme', (s) => s.refused !== undefined);
  assert.deepEqual([applied, refused?.issues[0]?.code], [1, 'address_in_use']);
  assert.equal(await ask(port), 200);
  theirs.releaseAll('x');
  await answered(store, 'acme', (s) => s.applied === 2);
  assert.deepEqual([await ask(port), await ask(other)], [0, 200]);
});

test('a process that dies is replaced, and the tunnels of the other live on', async (t) => {
  const { store, tunnel, pids, ask, output, metrics } = await setUp(t);
  const tunnels = await Promise.all(Array.from({ length: 16 }, () => tunnel()));
  const [first] = pids();
  process.kill(first!, 'SIGKILL');
  await until(() => pids().length === 3);
  assert.match(output(), /"signal":"SIGKILL".*a process of the worker died/);
  await until(async () => /^arcus_listeners\{process="0"\} 1$/m.test(await metrics()));
  assert.equal(await ask(), 200);
  const alive = tunnels.filter((one) => one.isOpen);
  assert.ok(alive.length > 0 && alive.length < 16, `${alive.length} of 16 live`);
  for (const one of alive) {
    await one.send('ping');
    assert.equal((await one.read(4)).toString(), 'ping');
  }
  assert.deepEqual(await answered(store, 'acme', (s) => s.applied === 1), { applied: 1 });
});

test('a stop lets tunnels end, and a second one does not wait', async (t) => {
  const { main, exited, tunnel, ask, store } = await setUp(t);
  const open = await tunnel();
  main.kill('SIGTERM');
  await until(async () => (await ask()) === 0);
  await open.send('ping');
  assert.equal((await open.read(4)).toString(), 'ping');
  main.kill('SIGTERM');
  const [code] = await within(exited, 'the worker exits');
  assert.equal(code, 0);
  assert.equal(await open.closed(), 'reset');
  const left = await store.listWorkers();
  assert.deepEqual(
    left.map((record) => record.left),
    [true],
    'it said goodbye',
  );
});

test('no process stays behind when the one in front is killed', async (t) => {
  const { main, exited, pids } = await setUp(t);
  const all = pids();
  main.kill('SIGKILL');
  await exited;
  await until(() =>
    all.every((pid) => {
      try {
        process.kill(pid, 0);
        return false;
      } catch {
        return true;
      }
    }),
  );
});
