import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { armed } from './faults.ts';

const file = fileURLToPath(new URL('./faults.ts', import.meta.url));
const passTwice = `import { fault } from '${file}';
fault('publish.after-head'); console.log('once'); fault('publish.after-head'); console.log('twice');`;

const run = (env: Record<string, string>) => {
  const { NODE_ENV: _, ...rest } = process.env;
  const { signal, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', passTwice], {
    env: { ...rest, ...env },
    encoding: 'utf8',
  });
  return { signal, lines: stdout.trim().split('\n') };
};

test('a process ends when it passes its fault point for the nth time', () => {
  const ARCUS_FAULT = 'publish.after-head:2';
  assert.deepEqual(run({ ARCUS_FAULT, ARCUS_FAULTS: '1' }), { signal: 'SIGKILL', lines: ['once'] });
});

test('without the flag a fault that is asked for does not happen', () => {
  const ARCUS_FAULT = 'publish.after-head:1';
  assert.deepEqual(run({ ARCUS_FAULT, NODE_ENV: 'production' }), { signal: null, lines: ['once', 'twice'] });
});

test('a fault point that does not exist is refused', () => {
  assert.throws(() => armed({ ARCUS_FAULTS: '1', ARCUS_FAULT: 'publish.nowhere:1' }), /points are publish/);
});
