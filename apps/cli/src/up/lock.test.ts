import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Locked, lock } from './lock.ts';

const folder = mkdtempSync(join(tmpdir(), 'arcus-lock-'));
after(() => rmSync(folder, { recursive: true }));

test('a folder is taken by one at a time, and nothing is left behind', () => {
  const unlock = lock(folder);
  assert.throws(
    () => lock(folder),
    (error: Locked) => error instanceof Locked && error.pid === process.pid,
  );
  unlock();
  lock(folder)();
  assert.deepEqual(readdirSync(folder), []);
});

test('a holder that is gone holds nothing, nor does a later process with its number', () => {
  const { pid } = spawnSync('true');
  for (const holder of [
    { pid, started: '1' },
    { pid: process.pid, started: '1' },
  ]) {
    writeFileSync(join(folder, 'lock'), JSON.stringify(holder));
    lock(folder)();
  }
  writeFileSync(join(folder, 'lock'), 'torn');
  lock(folder)();
});
