import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { createCa } from './ca.ts';
import { Child } from './child.ts';
import { answers, ask } from './connect.ts';
import { startEtcd } from './etcd.ts';
import { standsStill } from './freeze.ts';
import { startMariaDb } from './mariadb.ts';
import { startEcho, startOrigin, startRawOrigin } from './origin.ts';
import { freePort } from './port.ts';
import { RawClient } from './raw-client.ts';
import { startRedis } from './redis.ts';
import { TcpProxy } from './tcp-proxy.ts';
import { until, within } from './until.ts';

test('until gives the value, and names what it waited for at the deadline', async () => {
  let calls = 0;
  assert.equal(await until(() => (++calls > 3 ? 'x' : null)), 'x');
  await assert.rejects(
    until(
      () => {
        throw new Error('inner');
      },
      { deadline: 20, what: 'the moon' },
    ),
    (error: Error) => /the moon/.test(error.message) && (error.cause as Error).message === 'inner',
  );
});

test('no two processes get the same port', async () => {
  const script = `import { freePort } from '${new URL('./port.ts', import.meta.url)}';
    const p = []; for (let i = 0; i < 200; i++) p.push(await freePort()); console.log(p.join());
    process.stdin.resume(); process.stdin.on('end', () => process.exit());`;
  const children = [1, 2].map(() => spawn(process.execPath, ['--input-type=module', '-e', script]));
  const outputs = await Promise.all(
    children.map((child) => new Promise<string>((resolve) => child.stdout.once('data', (data) => resolve(`${data}`)))),
  );
  for (const child of children) child.stdin.end();
  const ports = outputs.flatMap((text) => text.trim().split(','));
  assert.equal(new Set(ports).size, 400);
  assert.ok(ports.every((port) => Number(port) < 32_768));
});

test('redis keeps its data over a kill and dies with its owner', async (t) => {
  const redis = await startRedis();
  t.after(() => redis.close());
  assert.match(await ask(redis.port, 'SET a 1\r\n'), /\+OK/);
  await redis.process.restart();
  assert.match(await ask(redis.port, 'GET a\r\n'), /\$1\r\n1/);
  await redis.process.stop();
  assert.equal(await ask(redis.port, 'PING\r\n', { deadline: 500 }), '');
  redis.process.cont();
  await until(async () => (await ask(redis.port, 'PING\r\n')).startsWith('+PONG'));

  const script = `import { startRedis } from '${new URL('./redis.ts', import.meta.url)}';
    const redis = await startRedis(); console.log(redis.process.pid);`;
  const owner = spawn(process.execPath, ['--input-type=module', '-e', script]);
  const pid = Number(await new Promise((resolve) => owner.stdout.once('data', (data) => resolve(`${data}`))));
  owner.kill('SIGKILL');
  await until(
    () => {
      try {
        return /\sZ/.test(execFileSync('ps', ['-o', 'pid=,stat=', '-p', String(pid)], { encoding: 'utf8' }));
      } catch {
        return true;
      }
    },
    { deadline: 30_000 },
  );
});

test('a process that was stopped stands still with all its threads, until it may go on', async (t) => {
  // Threads that never sleep: a signal that was only noted does not yet stop those that run on another core.
  const script = `const { Worker } = require('node:worker_threads');
    const count = new Int32Array(new SharedArrayBuffer(4));
    const spin = "for (;;) Atomics.add(require('node:worker_threads').workerData, 0, 1)";
    for (let i = 0; i < 8; i++) new Worker(spin, { eval: true, workerData: count });
    setInterval(() => console.log(count[0] === 0 ? 'starts' : 'spins'), 10);`;
  const child = await Child.start({ command: process.execPath, args: ['-e', script], ready: () => true });
  t.after(() => child.close());
  await until(() => child.output.includes('spins'), { deadline: 60_000 });
  for (let i = 0; i < 50; i++) {
    await child.stop();
    assert.ok(standsStill(child.pid), `after stop ${i + 1}`);
    child.cont();
    await until(() => !standsStill(child.pid));
  }
});

test('mariadb and etcd come up, keep data over a kill', async (t) => {
  const [maria, etcd] = await Promise.all([startMariaDb(), startEtcd()]);
  t.after(() => Promise.all([maria.close(), etcd.close()]));
  await until(() => answers(maria.port, { greeting: true }));
  await etcd.put('a', '1');
  const first = await etcd.revision();
  await etcd.process.restart();
  assert.equal(await etcd.get('a'), '1');
  assert.equal(await etcd.revision(), first);
  await etcd.put('a', '2');
  await etcd.compact();
  await assert.rejects(etcd.call('kv/range', { key: 'YQ==', revision: String(first) }), /compacted/);
});

test('etcd with TLS, client certificates and a password', async (t) => {
  const etcd = await startEtcd({
    tls: { clientCert: true },
    auth: { user: 'arcus', password: 'pw', prefix: '/arcus/' },
  });
  t.after(() => etcd.close());
  await etcd.put('/arcus/a', '1');
  assert.deepEqual(await etcd.list('/arcus/'), ['/arcus/a']);
});

test('the proxy passes, cuts, refuses, and goes silent', async (t) => {
  const echo = await startEcho();
  const proxy = await TcpProxy.start(echo);
  t.after(() => Promise.all([proxy.close(), echo.close()]));
  const first = await RawClient.connect(proxy);
  await first.send('hello');
  assert.equal((await first.read(5)).toString(), 'hello');
  first.end();
  assert.equal(await first.closed(), 'end');
  assert.deepEqual([proxy.bytesUp, proxy.bytesDown], [5, 5]);

  const second = await RawClient.connect(proxy);
  await second.send('x');
  await second.read(1);
  proxy.cut();
  assert.equal(await second.closed(), 'reset');
  await proxy.refuse();
  await assert.rejects(RawClient.connect(proxy), { code: 'ECONNREFUSED' });
  await proxy.pass();
  const third = await RawClient.connect({ port: proxy.port, deadline: 60_000 });
  await third.send('1');
  await third.read(1);
  proxy.blackHole();
  await third.send('2');
  const swallowed = third.read(1);
  await assert.rejects(within(swallowed, 'an answer', 200), /not within/);
  await proxy.pass();
  assert.equal((await swallowed).toString(), '2');
  assert.equal(proxy.accepted, 3);
  await third.close();
});

test('origins record what they got; the raw client reads chunked, TLS and CONNECT-like streams', async (t) => {
  const ca = await createCa();
  const leaf = await ca.issue(['localhost', '127.0.0.1']);
  const origin = await startOrigin({ tls: leaf, answer: { body: ['a', 'b'], headers: { 'x-a': '1' } } });
  const raw = await startRawOrigin({ reply: 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok' });
  const proxy = await TcpProxy.start(origin);
  t.after(() => Promise.all([origin.close(), raw.close(), proxy.close(), ca.close()]));

  const client = await RawClient.connect({ port: proxy.port });
  await client.startTls({ ca: ca.cert });
  const response = await client.request('POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc');
  assert.deepEqual([response.status, response.text, response.headers['x-a']], [200, 'ab', '1']);
  assert.equal(origin.requests[0]?.body.toString(), 'abc');
  await client.close();

  const plain = await RawClient.connect(raw);
  assert.equal((await plain.request('GET / HTTP/1.1\r\n\r\n')).text, 'ok');
  assert.equal((await plain.request('GET / HTTP/1.1\r\n\r\n')).text, 'ok');
  assert.equal(raw.received().toString().match(/GET/g)?.length, 2);
  await plain.close();
});

test('a port given out can be listened on', async () => {
  const server = createServer().listen(await freePort());
  await new Promise((resolve) => server.once('listening', resolve));
  server.close();
});
