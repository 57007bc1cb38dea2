/** A rollout over four worker processes, with real traffic, numbers and stores. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, type TestContext, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { startOrigin } from '@arcus/testkit/origin.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until } from '@arcus/testkit/until.ts';
import { endBake } from './lib/bake.ts';
import { cleanEnv, cli, type Deployment, startClustered } from './lib/deployment.ts';
import { configOf, send, statusOf } from './lib/tenants.ts';
import { browse } from './lib/traffic.ts';

/** Worker -> the port that it has for the tenant's. */
const ports = new Map<string, number>();
let tenantPort = 0;
let d: Deployment;
let origin: Awaited<ReturnType<typeof startOrigin>>;

before(async () => {
  origin = await startOrigin();
  d = await startClustered();
  tenantPort = await freePort();
  for (const id of ['w1', 'w2', 'w3', 'w4']) {
    const labels = `fleet=four${id === 'w1' ? ',canary=yes' : ''}`;
    ports.set(id, await freePort());
    await d.addWorker(id, {
      ARCUS_WORKER_LABELS: labels,
      NODE_OPTIONS: `--import ${new URL('lib/own-port.ts', import.meta.url)}`,
      E2E_TENANT_PORT: String(tenantPort),
      E2E_OWN_PORT: String(ports.get(id)),
    });
  }
});
after(async () => {
  await d?.close();
  await origin?.close();
});

async function arcus(...args: string[]) {
  const env = cleanEnv({ ARCUS_API: d.connection.api.origin, ARCUS_TOKEN: d.connection.token });
  const child = spawn(process.execPath, [cli, ...args], { env });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: code as number, stdout, stderr };
}

const runs = async () =>
  Object.fromEntries(
    (await statusOf(d.connection, 'acme')).workers.map((one: { worker: string; applied: number }) => [
      one.worker,
      one.applied,
    ]),
  );
const all = (version: number) => ({ w1: version, w2: version, w3: version, w4: version });
const become = (wanted: Record<string, number>) =>
  until(async () => isDeepStrictEqual(await runs(), wanted), { what: JSON.stringify(wanted), deadline: 60_000 });

/** Asks each worker again and again until told to stop; answers the statuses that each gave. */
function traffic(t: TestContext) {
  let stop = false;
  t.after(() => {
    stop = true;
  });
  const one = async (port: number) => {
    const seen = new Map<number, number>();
    while (!stop) {
      const { status } = await browse({ port }, `${origin.url}/`);
      seen.set(status, (seen.get(status) ?? 0) + 1);
    }
    return seen;
  };
  const running = new Map([...ports].map(([id, port]) => [id, one(port)]));
  // Who asks for the result is told of a failure; a test that failed before shall not be hidden by it.
  for (const seen of running.values()) seen.catch(() => {});
  return async () => {
    stop = true;
    return Object.fromEntries(await Promise.all([...running].map(async ([id, seen]) => [id, await seen] as const)));
  };
}

const config = () => configOf({ port: tenantPort });
const escaper = (body: object) =>
  send(d.connection, 'PUT', '/tenants/acme/escapers/out?publish=hold', body, { 'if-match': '*' });

test('a release whose requests fail is halted on the first worker and taken back; the others never had it', async (t) => {
  const body = { tenant_id: 'acme', tenant_name: 'Acme', placement: { fleet: 'four' }, config: config() };
  await send(d.connection, 'POST', '/tenants?wait=acked', body);
  await become(all(1));
  const nowhere = `127.0.0.1:${await freePort()}`;
  const bad = { name: 'out', type: 'proxy_http', proxy_addr: nowhere, egress_allow: [{ network: '127.0.0.0/8' }] };
  const held = await escaper(bad);
  assert.equal(held.headers.get('arcus-release-state'), 'held');
  const told = await arcus('status', 'acme');
  assert.match(told.stdout, /release 2 is held, release 1 is stable; 4 of 4 live workers run what they should/);

  const stop = traffic(t);
  const labels = ['--labels', 'canary=yes', '--steps', '100', '--bake', '600', '--error-rate', '0.1'];
  const { code, stdout, stderr } = await arcus('rollout', 'start', 'acme', ...labels, '--wait');
  assert.equal(code, 1, stderr);
  // The first worker's numbers may come before those of all others.
  const others = '(?:0\\.0 % on the stable release|and there is no traffic on the stable release)';
  assert.match(stdout, new RegExp(`halted: \\d+\\.\\d % of \\d+ requests failed, ${others}`));
  await become(all(1));
  const seen = await stop();
  assert.ok(seen.w1!.get(502)! > 0, 'the first worker had it');
  for (const id of ['w2', 'w3', 'w4']) assert.deepEqual([...seen[id]!.keys()], [200], id);
  assert.equal((await browse({ port: ports.get('w1')! }, `${origin.url}/`)).status, 200);

  const refused = await arcus('rollback', 'acme', '1', '--wait');
  assert.equal(refused.code, 0, refused.stderr);
  await become(all(3));
});

test('a release that does as well goes to all workers, step by step, without a failed request', async (t) => {
  const [out] = config().escapers;
  await escaper({ ...out, egress_allow: [...out!.egress_allow, { network: '::1' }] });
  const stop = traffic(t);
  const how = ['--labels', 'canary=yes', '--steps', '100', '--bake', '3600', '--p99', '600000'];
  const started = await arcus('rollout', 'start', 'acme', ...how);
  assert.equal(started.code, 0, started.stderr);
  assert.match(started.stdout, /step 1 {2}canary=yes {2}1 of 4 workers/);
  await become({ ...all(3), w1: 4 });
  const paused = await arcus('rollout', 'pause', 'acme');
  assert.match(paused.stdout, /paused by hand/);
  assert.equal((await arcus('rollout', 'status', 'acme')).code, 1);
  assert.equal((await arcus('rollout', 'resume', 'acme')).code, 0);
  for (const step of [1, 2]) await endBake(d, { tenant: 'acme', worker: 'w1', step });
  await until(async () => (await arcus('rollout', 'status', 'acme', '--json')).stdout.includes('"state": "promoted"'), {
    deadline: 60_000,
    what: 'it is promoted',
  });
  await become(all(4));
  const seen = await stop();
  for (const id of ports.keys()) assert.deepEqual([...seen[id]!.keys()], [200], id);
  const { stdout } = await arcus('rollout', 'status', 'acme');
  assert.match(stdout, /step 1 \(canary=yes\): new release: \d+ requests, 0\.0 % failed/);
  const status = await statusOf(d.connection, 'acme');
  assert.deepEqual([status.version, status.stable_version, status.state], [4, 4, 'published']);
});

test('one command pushes a file and rolls it out to the end', async (t) => {
  const dir = tempDir('rollout');
  t.after(() => dir.close());
  const file = join(dir.path, 'acme.json');
  const [out] = config().escapers;
  const changed = { ...config(), escapers: [{ ...out, egress_allow: [...out!.egress_allow, { network: '::2' }] }] };
  await writeFile(file, JSON.stringify(changed));
  const push = ['push', 'acme', file, '--rollout', '--labels', 'canary=yes', '--steps', '100', '--bake', '0', '--wait'];
  const { code, stdout, stderr } = await arcus(...push);
  assert.equal(code, 0, stderr + stdout);
  assert.match(stdout, /acme: rollout r-[0-9a-f]{16} of release 5 over 4, promoted/);
  await become(all(5));
  const again = await arcus(...push);
  assert.deepEqual([again.code, again.stdout.trim()], [0, 'acme: nothing changed, release 5 is published']);
});
