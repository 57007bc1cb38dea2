/** What can be said of the image and the compose file without a Docker engine. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ApiEnv } from '@arcus/api/env.ts';
import { WorkerEnv } from '@arcus/worker/env.ts';
import { parse } from 'yaml';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (name: string) => readFileSync(join(root, name), 'utf8');
const compose = parse(read('docker-compose.yml'), { merge: true });
const services = Object.entries(compose.services as Record<string, any>);
const ours = services.filter(([, service]) => service.build !== undefined);

test('every file that the Dockerfile and the compose file run exists', () => {
  const commands = ours.map(([, service]) => service.command.join(' '));
  const files = [read('Dockerfile'), read('docker-compose.yml'), ...commands].flatMap(
    (text) => text.match(/(?:apps|scripts)\/[\w./-]+\.(?:ts|mjs)/g) ?? [],
  );
  assert.ok(files.length >= 5);
  for (const file of new Set(files)) assert.ok(existsSync(join(root, file)), file);
});

test('the image installs with the pnpm that the scripts use', () => {
  const version = /pnpm@[\d.]+/.exec(read('scripts/lib/prepare.mjs'))![0];
  for (const found of read('Dockerfile').match(/pnpm@[\d.]+/g)!) assert.equal(found, version);
});

test('the compose file has an api and two workers, and each service a health check', () => {
  assert.deepEqual(services.map(([name]) => name).sort(), ['api', 'etcd', 'mysql', 'redis', 'worker-1', 'worker-2']);
  for (const [name, service] of services) assert.ok(service.healthcheck?.test, name);
});

test('what a service waits for and mounts is there', () => {
  for (const [name, service] of services) {
    for (const other of Object.keys(service.depends_on ?? {})) assert.ok(compose.services[other], `${name}: ${other}`);
    for (const volume of service.volumes ?? [])
      assert.ok(volume.split(':')[0] in compose.volumes, `${name}: ${volume}`);
  }
});

test('every ARCUS variable in the compose file is one that the apps read', () => {
  const known = new Set([...Object.keys(ApiEnv.shape), ...Object.keys(WorkerEnv.shape)]);
  for (const [name, { environment }] of ours) {
    for (const variable of Object.keys(environment)) assert.ok(known.has(variable), `${name}: ${variable}`);
  }
});

test('the compose file means something to docker compose', (t) => {
  if (spawnSync('docker', ['compose', 'version']).status !== 0) return t.skip('this docker client has no compose');
  const result = spawnSync('docker', ['compose', 'config', '--quiet'], {
    cwd: root,
    env: { ...process.env, ARCUS_SECRET_KEY: 'x', ARCUS_SIGNING_KEY: 'x', ARCUS_VERIFY_KEYS: 'x' },
    encoding: 'utf8',
  });
  assert.equal(result.status, 0, result.stderr);
});
