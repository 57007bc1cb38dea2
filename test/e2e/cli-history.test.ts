/** Drafts, releases and rollback by the command `arcus`, up to what the proxy does. */
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
import { cleanEnv, cli, type Deployment, startEmbedded } from './lib/deployment.ts';
import { block, configOf, createTenant } from './lib/tenants.ts';
import { browse } from './lib/traffic.ts';

const dir = tempDir('cli-history');
let d: Deployment;
let origin: Awaited<ReturnType<typeof startOrigin>>;
let port = 0;

before(async () => {
  origin = await startOrigin();
  d = await startEmbedded();
  port = await freePort();
  await createTenant(d.connection, 'acme', { port });
});
after(async () => {
  await d?.close();
  await origin?.close();
  dir.close();
});

async function arcus(...args: string[]) {
  const env = cleanEnv({ ARCUS_API: d.connection.api.origin, ARCUS_TOKEN: d.connection.token });
  const child = spawn(process.execPath, [cli, ...args], { env });
  child.stdin.end();
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: code as number, stdout, stderr };
}

const ok = async (...args: string[]) => {
  const result = await arcus(...args);
  assert.equal(result.code, 0, result.stderr + result.stdout);
  return result;
};
const status = async () => (await browse({ port }, `http://localhost:${origin.port}/`)).status;
const file = (name: string, config: unknown): string => {
  writeFileSync(join(dir.path, name), JSON.stringify(config, null, 2));
  return join(dir.path, name);
};
const blocked = () => {
  const config = configOf({ port });
  config.policies[0]!.rules.push(block('localhost'));
  return config;
};

test('a draft is made, filled from a file, looked at, and applied: the proxy does it then and not before', async () => {
  assert.match((await arcus('draft')).stderr, /needs one more word: draft list, draft create/);
  const made = await ok('draft', 'create', 'acme', 'friday', '-m', 'no localhost');
  assert.equal(made.stdout, 'acme: draft friday of release 1\n');
  const nothing = await ok('draft', 'diff', 'acme', 'friday');
  assert.equal(nothing.stdout, '');
  const pushed = await ok('draft', 'push', 'acme', 'friday', file('blocked.json', blocked()));
  assert.equal(pushed.stdout, 'acme: draft friday changes 1 object\n');
  const diff = await arcus('draft', 'diff', 'acme', 'friday');
  assert.equal(diff.code, 1);
  assert.match(diff.stdout, /^~ policies\/sites\n {4}\/rules: /);
  assert.match((await ok('draft', 'list', 'acme')).stdout, /^friday +1 +1 .*no localhost$/m);
  assert.match((await ok('draft', 'validate', 'acme', 'friday')).stdout, /valid, and would be a new release/);
  assert.equal(await status(), 200);
  const applied = await ok('draft', 'apply', 'acme', 'friday', '--wait');
  assert.match(applied.stdout, /release 2 runs on the one live worker/);
  assert.equal(await status(), 403);
  assert.equal((await arcus('draft', 'diff', 'acme', 'friday')).code, 2);
});

test('releases are listed with who, why and how much', async () => {
  const { stdout } = await ok('releases', 'acme');
  const [head, newest] = stdout.split('\n');
  assert.match(head!, /^VERSION +STATE +MADE +BY +OBJECTS +MESSAGE$/);
  assert.match(newest!, /^2 +published +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +.* \+0 ~1 -0 +friday: no localhost$/);
  assert.equal(JSON.parse((await ok('releases', 'acme', '-n', '1', '--json')).stdout).length, 1);
  assert.equal((await arcus('releases', 'acme', '-n', '0')).code, 2);
});

test('a release is shown with what it changed, two are compared, and workers are listed', async () => {
  const { stdout } = await ok('release', 'show', 'acme', '2');
  assert.match(
    stdout,
    /^acme: release 2, published, made .*\n {2}friday: no localhost\n~ policies\/sites\n {4}\/rules: /,
  );
  assert.match((await ok('release', 'show', 'acme', '1')).stdout, /^\+ escapers\/out$/m);
  assert.equal(typeof JSON.parse((await ok('release', 'show', 'acme', '2', '--json')).stdout).config, 'object');
  const diff = await arcus('release', 'diff', 'acme', '2', '1');
  assert.equal(diff.code, 1);
  assert.match(diff.stdout, /^~ policies\/sites\n/);
  assert.equal((await arcus('release', 'diff', 'acme', '1', '77')).code, 2);
  assert.match((await ok('workers')).stdout, /^WORKER +STATE .*\n\S+ +live +\d+ +0 /);
});

test('a rollback is what the proxy does when the command has ended', async () => {
  const { stdout } = await ok('rollback', 'acme', '1', '--wait', '-m', 'localhost is back');
  assert.match(stdout, /release 3 runs on the one live worker/);
  assert.equal(await status(), 200);
  assert.match((await ok('releases', 'acme')).stdout, /^3 +published .*localhost is back$/m);
  const none = await arcus('rollback', 'acme', '99');
  assert.equal(none.code, 2);
  assert.match(none.stderr, /HTTP 404/);
  assert.equal((await arcus('rollback', 'acme', 'x')).code, 2);
});

test('faults and conflicts of a draft are shown, a rebase settles them, a discarded draft is gone', async () => {
  await ok('draft', 'create', 'acme', 'monday');
  const dangling = configOf({ port });
  dangling.servers[0]!.escaper = 'nowhere';
  await ok('draft', 'push', 'acme', 'monday', file('dangling.json', dangling));
  const refused = await arcus('draft', 'apply', 'acme', 'monday');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /\/servers\/0\/escaper +there is no "nowhere" in escapers/);
  const unparsable = await arcus('draft', 'push', 'acme', 'monday', file('bad.json', { escapers: [{ name: 'x' }] }));
  assert.equal(unparsable.code, 1);
  assert.match(unparsable.stdout, /bad\.json:\d+:\d+ \/escapers\/0/);

  await ok('draft', 'push', 'acme', 'monday', file('monday.json', blocked()));
  const live = configOf({ port });
  live.policies[0]!.rules.push(block('casino.example'));
  await ok('push', 'acme', file('live.json', live));
  const conflict = await arcus('draft', 'apply', 'acme', 'monday', '--only', 'policies');
  assert.equal(conflict.code, 1);
  assert.match(conflict.stderr, /\/policies\/sites/);
  assert.equal((await arcus('draft', 'rebase', 'acme', 'monday')).code, 1);
  await ok('draft', 'rebase', 'acme', 'monday', '--prefer', 'draft');
  await ok('draft', 'validate', 'acme', 'monday');
  await ok('draft', 'discard', 'acme', 'monday');
  assert.equal((await ok('draft', 'list', 'acme', '--json')).stdout, '[]\n');
});

test('a release that is held is published by the same push with --publish now, and never waited for in vain', async () => {
  const held = configOf({ port });
  held.policies[0]!.rules.push(block('localhost'));
  const name = file('held.json', held);
  assert.match((await ok('push', 'acme', name, '--publish', 'hold')).stdout, /is held/);
  assert.equal(await status(), 200);
  const waited = await arcus('push', 'acme', name, '--wait');
  assert.equal(waited.code, 1);
  assert.match(waited.stderr, /is held, and \d+ is served/);
  const published = await ok('push', 'acme', name, '--publish', 'now', '--wait');
  assert.match(published.stdout, /nothing changed, release \d+ runs on the one live worker/);
  assert.equal(await status(), 403);
});
