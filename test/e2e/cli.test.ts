/** The command `arcus` against a running installation, as a pipeline uses it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { startOrigin } from '@arcus/testkit/origin.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until } from '@arcus/testkit/until.ts';
import { cleanEnv, cli, type Deployment, startEmbedded } from './lib/deployment.ts';
import { block, configOf, createTenant, send, statusOf } from './lib/tenants.ts';
import { browse } from './lib/traffic.ts';

const dir = tempDir('cli');
let d: Deployment;
let origin: Awaited<ReturnType<typeof startOrigin>>;
let port = 0;

before(async () => {
  origin = await startOrigin();
  d = await startEmbedded();
  port = await freePort();
  await createTenant(d.connection, 'acme', { port, users: { ann: 'secret' } });
});
after(async () => {
  await d?.close();
  await origin?.close();
  dir.close();
});

async function arcus(args: readonly string[], { input = '', env = {} }: { input?: string; env?: object } = {}) {
  const child = spawn(process.execPath, [cli, ...args], {
    env: cleanEnv({ ARCUS_API: d.connection.api.origin, ARCUS_TOKEN: d.connection.token, ...env }),
  });
  child.stdin.end(input);
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: code as number, stdout, stderr };
}

const file = (name: string, config: unknown): string => {
  writeFileSync(join(dir.path, name), JSON.stringify(config, null, 2));
  return join(dir.path, name);
};

test('what was pulled does not differ, and pushing it back makes no release', async () => {
  const pulled = await arcus(['pull', 'acme']);
  assert.equal(pulled.code, 0);
  assert.deepEqual(await arcus(['diff', 'acme', '-'], { input: pulled.stdout }), { code: 0, stdout: '', stderr: '' });
  const pushed = await arcus(['push', 'acme', '-', '--json'], { input: pulled.stdout });
  assert.equal(pushed.code, 0, pushed.stderr);
  assert.deepEqual([JSON.parse(pushed.stdout).changed, JSON.parse(pushed.stdout).version], [false, 1]);
});

test('a tenant that is not there is named', async () => {
  const valid = file('valid.json', {});
  for (const command of [
    ['status', 'nope'],
    ['pull', 'nope'],
    ['push', 'nope', valid],
    ['releases', 'nope'],
  ]) {
    const { code, stderr } = await arcus(command);
    assert.equal(code, 2);
    assert.match(stderr, /there is no tenant "nope"/);
  }
});

test('a file that still holds the passwords in clear does not differ either', async () => {
  const same = file('same.json', configOf({ port, users: { ann: 'secret' } }));
  assert.deepEqual(await arcus(['diff', 'acme', same]), { code: 0, stdout: '', stderr: '' });
});

test('a difference is told by object and field, without secrets, and diff ends with 1', async () => {
  const config = configOf({ port, users: { ann: 'another', bob: 'secret' } });
  config.policies[0]!.rules.push(block('casino.example'));
  const changed = file('changed.json', config);
  const { code, stdout } = await arcus(['diff', 'acme', changed]);
  assert.equal(code, 1);
  assert.match(stdout, /^~ user_groups\/staff\n {4}\/static_users\/ann\/password_hash: "\(secret\)" → "\(secret\)"/m);
  assert.match(stdout, /^ {4}\/static_users\/bob: .*\(new\)$/m);
  assert.match(stdout, /^~ policies\/sites\n {4}\/rules: \[\] → /m);
  assert.doesNotMatch(stdout, /another|sealed:/);
  const { same, changes } = JSON.parse((await arcus(['diff', 'acme', changed, '--json'])).stdout);
  assert.deepEqual([same, changes.length], [false, 2]);
  assert.equal((await statusOf(d.connection, 'acme')).version, 1);
});

test('push --wait ends with 0 once the file is what the proxy does', async () => {
  const config = configOf({ port });
  config.policies[0]!.rules.push(block('localhost'));
  const pushed = await arcus(['push', 'acme', file('blocked.json', config), '--wait', '-m', 'no localhost']);
  assert.deepEqual([pushed.code, pushed.stderr], [0, '']);
  assert.match(pushed.stdout, /release 2 runs on the one live worker/);
  assert.equal((await browse({ port }, `http://localhost:${origin.port}/`)).status, 403);
  const status = await arcus(['status', 'acme']);
  assert.equal(status.code, 0);
  assert.match(status.stdout, /release 2, published, runs on 1 of 1/);
});

test('push tells each fault with its line, and changes nothing', async () => {
  const config = configOf({ port });
  config.servers[0]!.escaper = 'nowhere';
  const wrong = file('wrong.json', config);
  const { code, stdout } = await arcus(['push', 'acme', wrong, '--wait']);
  assert.equal(code, 1);
  assert.match(stdout, /wrong\.json:\d+:\d+ \/servers\/0\/escaper there is no "nowhere" in escapers/);
  assert.equal((await statusOf(d.connection, 'acme')).version, 2);
});

test('push --dry-run says what only the API can know, and changes nothing', async () => {
  await createTenant(d.connection, 'other', { port: await freePort() });
  const { code, stdout } = await arcus(['push', 'other', file('taken.json', configOf({ port })), '--dry-run']);
  assert.equal(code, 1);
  assert.match(stdout, /taken\.json:\d+:\d+ \/servers\/0\/listen/);
  const fine = await arcus(['push', 'acme', file('fine.json', configOf({ port })), '--dry-run']);
  assert.deepEqual([fine.code, fine.stdout], [0, 'acme: valid, and would be a new release\n']);
  assert.equal((await statusOf(d.connection, 'acme')).version, 2);
});

test('push --wait ends with 1 and says who refused and why, and status does too', async () => {
  await d.addWorker('worker-b');
  await until(async () => (await statusOf(d.connection, 'acme')).summary.refused === 1, { deadline: 60_000 });
  const pushed = await arcus(['push', 'acme', file('again.json', configOf({ port })), '--wait']);
  assert.equal(pushed.code, 1);
  assert.match(pushed.stdout, /release 3 is stored, but does not run everywhere: .*worker-b/);
  assert.match(pushed.stdout, new RegExp(`worker-b +refused.*\\n.*listen.*127\\.0\\.0\\.1:${port}`));
  assert.equal((await browse({ port }, `http://localhost:${origin.port}/`)).status, 200);
  const status = await arcus(['status']);
  assert.equal(status.code, 1);
  assert.match(status.stdout, /^acme +3 +3 +published +1 of 2$/m);
  assert.match(status.stdout, /worker-b +refused/);
});

test('a token of one tenant may push to its own and does not see another', async () => {
  const made = await arcus(['token', 'create', '--role', 'tenant', '--tenant', 'acme', '--expires', '1']);
  assert.equal(made.code, 0, made.stderr);
  const env = { ARCUS_TOKEN: made.stdout.trim() };
  assert.equal((await arcus(['pull', 'acme'], { env })).code, 0);
  const other = await arcus(['pull', 'other'], { env });
  assert.equal(other.code, 2);
  assert.match(other.stderr, /HTTP 404/);
  assert.equal((await arcus(['pull', 'acme'], { env: { ARCUS_TOKEN: 'arcus_wrong' } })).code, 2);
});

test('the shared config is pushed and pulled as _global', async () => {
  const empty = await arcus(['pull', '_global', '-o', 'json']);
  assert.deepEqual(JSON.parse(empty.stdout).servers, []);
  const shared = file('global.json', { escapers: [{ name: 'out', type: 'direct_fixed' }] });
  assert.equal((await arcus(['push', '_global', shared])).code, 0);
  assert.match((await arcus(['pull', '_global'])).stdout, /direct_fixed/);
  await send(d.connection, 'PUT', '/config/global', {}, { 'if-match': '*' });
});
