import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { createSealer } from '@arcus/control/seal.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until, within } from '@arcus/testkit/until.ts';
import pino from 'pino';
import { Claims } from './claims.ts';
import { readWorkerEnv } from './env.ts';
import { ProcessGroup, sumOf } from './process-group.ts';
import { LONG, setUp } from './process-testing.ts';
import { answered, proxyOn, publish } from './testing.ts';

const issue = { pointer: '', message: 'no', code: 'x' };

test('a worker of several processes runs the oldest version of any, and refuses what one refuses', () => {
  assert.equal(sumOf([undefined, undefined]), null);
  assert.deepEqual(sumOf([{ applied: 3 }, { applied: 2 }]), { applied: 2 });
  assert.deepEqual(sumOf([{ applied: 3 }, undefined]), { applied: 0 });
  const refused = { version: 4, issues: [issue] };
  assert.deepEqual(sumOf([{ applied: 4 }, { applied: 3, refused }]), { applied: 3, refused });
});

test('two processes answer on one address, and their numbers are one worker’s', async (t) => {
  const { store, port, metrics, ask, pids } = await setUp(t);
  for (let i = 0; i < 40; i++) assert.equal(await ask(), 200);
  await until(
    async () => /^arcus_server_requests_total\{tenant="acme",server="web"\} 40$/m.test(await metrics()),
    LONG,
  );
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

test('tenants change places in each process, and who takes the place of a process finds them there', async (t) => {
  const { store, port, ask, pids } = await setUp(t);
  const other = await freePort();
  const deny = { escapers: [{ name: 'direct', type: 'dummy_deny' }] };
  await publish(store, 'beta', 1, proxyOn(other, deny));
  await answered(store, 'beta', (s) => s.applied === 1);
  await publish(store, 'acme', 2, proxyOn(other));
  await answered(store, 'acme', (s) => s.refused !== undefined);
  await publish(store, 'beta', 2, proxyOn(port, deny));
  for (const tenant of ['acme', 'beta']) {
    assert.deepEqual(await answered(store, tenant, (s) => s.applied === 2), { applied: 2 });
  }
  const all = async () => {
    for (let i = 0; i < 10; i++) assert.deepEqual([await ask(port), await ask(other)], [403, 200]);
  };
  await all();
  process.kill(pids()[0]!, 'SIGKILL');
  await until(() => pids().length === 3, LONG);
  await all();
});

test('a process that dies is replaced, and the tunnels of the other live on', async (t) => {
  const { store, tunnel, pids, ask, events, metrics } = await setUp(t);
  // So many that each process has some.
  const tunnels = await Promise.all(Array.from({ length: 32 }, () => tunnel()));
  const [first, second] = pids();
  process.kill(first!, 'SIGKILL');
  await until(() => pids().length === 3, LONG);
  // At once: only one that dies soon after its start again has to wait.
  const [death, successor, ...more] = events().slice(2);
  assert.deepEqual(
    [death?.msg, death?.pid, death?.signal, death?.restart_in_ms],
    ['a process of the worker died and is replaced', first, 'SIGKILL', 0],
  );
  assert.deepEqual([successor?.msg, successor?.process], ['a process of the worker started', death?.process]);
  assert.deepEqual(more, [], 'the other one noticed nothing');
  process.kill(second!, 0);
  await until(async () => /^arcus_listeners\{process="0"\} 1$/m.test(await metrics()), LONG);
  assert.equal(await ask(), 200);
  const alive = tunnels.filter((one) => one.isOpen);
  assert.ok(alive.length > 0 && alive.length < 32, `${alive.length} of 32 live`);
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
  await until(async () => (await ask()) === 0, LONG);
  await open.send('ping');
  assert.equal((await open.read(4)).toString(), 'ping');
  main.kill('SIGTERM');
  const [code] = await within(exited, 'the worker exits', LONG.deadline);
  assert.equal(code, 0);
  assert.equal(await open.closed(), 'reset');
  const left = await store.listWorkers();
  assert.deepEqual(
    left.map((record) => record.left),
    [true],
    'it said goodbye',
  );
});

test('a tunnel that is open when the drain time is over is cut, and the worker exits', async (t) => {
  const { main, exited, tunnel } = await setUp(t, { env: { ARCUS_DRAIN_SECONDS: '1' } });
  const open = await tunnel();
  main.kill('SIGTERM');
  assert.equal(await open.closed(), 'reset');
  const [code] = await within(exited, 'the worker exits', LONG.deadline);
  assert.equal(code, 0, 'by itself, not killed for its patience');
});

test('a release that one process cannot run is refused by the worker, with the reason, and the other runs it', async (t) => {
  const [key, other] = [randomBytes(32), randomBytes(32).toString('base64')];
  const folder = tempDir('preload');
  t.after(() => folder.close());
  // As if the key had changed on the disk between the starts of the two.
  const preload = join(folder.path, 'preload.mjs');
  writeFileSync(preload, `if (process.env.ARCUS_PROCESS === '1') process.env.ARCUS_SECRET_KEY = '${other}';`);
  const { store, port, ask, metrics } = await setUp(t, {
    env: { ARCUS_SECRET_KEY: key.toString('base64'), NODE_OPTIONS: `--import=${pathToFileURL(preload)}` },
  });
  const parent = {
    name: 'parent',
    type: 'proxy_http',
    proxy_addr: '127.0.0.1:1',
    proxy_username: 'arcus',
    proxy_password: createSealer(key).seal('secret', 'acme/escapers/parent/proxy_password'),
  };
  const { escapers } = proxyOn(port);
  await publish(store, 'acme', 2, proxyOn(port, { escapers: [...escapers!, parent] }));
  const { applied, refused } = await answered(store, 'acme', (s) => s.refused !== undefined);
  assert.deepEqual([applied, refused?.version, refused?.issues[0]?.pointer], [1, 2, '/config/escapers/1']);
  assert.match(refused!.issues[0]!.message, /key/);
  await until(async () => {
    const text = await metrics();
    return [/process="0"\} 2$/m, /process="1"\} 1$/m].every((end) =>
      text.split('\n').some((line) => line.startsWith('arcus_releases_applied_total') && end.test(line)),
    );
  }, LONG);
  for (let i = 0; i < 10; i++) assert.equal(await ask(), 200, 'both serve what they run');
});

test('no process stays behind when the one in front is killed', async (t) => {
  const { main, exited, pids } = await setUp(t);
  const all = pids();
  main.kill('SIGKILL');
  await exited;
  await until(
    () =>
      all.every((pid) => {
        try {
          process.kill(pid, 0);
          return false;
        } catch {
          return true;
        }
      }),
    LONG,
  );
});

/** A group of one process that runs `program`; its log as objects. */
function groupOf(t: TestContext, program: string) {
  const folder = tempDir('group');
  const file = join(folder.path, 'program.mjs');
  writeFileSync(file, program);
  const log: Record<string, unknown>[] = [];
  const group = new ProcessGroup({
    env: readWorkerEnv({ ARCUS_STORE_URL: 'file:/nowhere', ARCUS_DRAIN_SECONDS: '0' }),
    id: 'w1',
    processes: 1,
    log: pino({ level: 'info' }, { write: (line) => log.push(JSON.parse(line)) }),
    report: () => {},
    onHeard: () => {},
    program: pathToFileURL(file),
  });
  t.after(async () => {
    await group.close({ now: true });
    folder.close();
  });
  return { group, log, path: folder.path };
}

test('a process that dies again and again is started ever later, and each death is told with its reason', async (t) => {
  const { group, log } = groupOf(t, 'process.exit(3)');
  void group.start();
  const deaths = () => log.filter((entry) => entry.msg === 'a process of the worker died and is replaced');
  await until(() => deaths().length >= 5, LONG);
  const pauses = deaths().map((entry) => entry.restart_in_ms as number);
  assert.deepEqual(pauses.slice(0, 1), [0]);
  assert.ok(pauses[4]! >= 500, `${pauses}`);
  assert.ok(deaths().every((entry) => entry.code === 3 && entry.process === 0));
});

test('a restart whose first new process fails ends there: the old one goes on', async (t) => {
  const { group, log, path } = groupOf(
    t,
    `import { appendFileSync, readFileSync } from 'node:fs';
    const file = import.meta.dirname + '/story';
    appendFileSync(file, 'start ');
    if (readFileSync(file, 'utf8').split('start').length > 2) process.exit(1);
    process.on('message', ({ type }) => {
      appendFileSync(file, type + ' ');
      if (type === 'hold') process.send({ type: 'held' });
      if (type === 'stop') process.exit(0);
    });
    process.send({ type: 'ready' });`,
  );
  await group.start();
  await group.restart();
  assert.equal(group.ready, true);
  assert.ok(log.some((entry) => entry.msg === 'a process of the worker died before it served' && entry.code === 1));
  await until(() => readFileSync(join(path, 'story'), 'utf8') === 'start hold start resume ', LONG);
});

test('each restart waits anew until the old process writes nothing, and it writes again when the new one is gone', async (t) => {
  const { group, path } = groupOf(
    t,
    `import { appendFileSync, readFileSync } from 'node:fs';
    const file = import.meta.dirname + '/story';
    const story = (word) => appendFileSync(file, word + ' ');
    story('start');
    // The new ones never serve what the old one does, and write to the end.
    const first = readFileSync(file, 'utf8').split('start').length === 2;
    if (!first) setTimeout(() => story('written'), 300).unref();
    if (!first) setTimeout(() => process.exit(1), 400);
    process.on('message', ({ type }) => {
      if (type === 'resume') story('resume');
      if (type === 'hold') setTimeout(() => (story('held'), process.send({ type: 'held' })), 300);
      if (type === 'stop') process.exit(0);
    });
    if (first) process.send({ type: 'ready' });`,
  );
  await group.start();
  await group.restart();
  await group.restart();
  const round = 'held start written resume ';
  await until(() => readFileSync(join(path, 'story'), 'utf8') === `start ${round}${round}`, LONG);
});

test('a successor is given its time to catch up also when the process in front stood still', async (t) => {
  const { group, log, path } = groupOf(
    t,
    `import { existsSync, writeFileSync } from 'node:fs';
    const at = (name) => import.meta.dirname + '/' + name;
    const runs = (applied) => process.send({ type: 'statuses', statuses: [['acme', { applied }]] });
    const first = !existsSync(at('first'));
    writeFileSync(at(first ? 'first' : 'next'), '');
    runs(first ? 2 : 1);
    process.on('message', ({ type }) => {
      if (type === 'hold') process.send({ type: 'held' });
      if (type === 'stop') process.exit(0);
    });
    process.send({ type: 'ready' });
    if (!first) setInterval(() => existsSync(at('go')) && runs(2), 10);`,
  );
  await group.start();
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  const restarted = group.restart();
  await until(() => existsSync(join(path, 'next')), LONG);
  let stalls = 0;
  await until(() => {
    t.mock.timers.setTime(Date.now() + 60_000);
    return ++stalls > 10;
  }, LONG);
  writeFileSync(join(path, 'go'), '');
  await restarted;
  assert.deepEqual(
    log.filter((entry) => entry.level === 50),
    [],
  );
  assert.ok(log.some((entry) => entry.msg === 'all processes of the worker are replaced'));
});
