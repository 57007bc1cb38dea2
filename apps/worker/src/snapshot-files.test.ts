import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempDir } from '@arcus/testkit/temp.ts';
import { SlabReader } from './snapshot-files.ts';

test('files that share memory while they are read stay as they were', (t) => {
  const folder = tempDir('slab');
  t.after(() => folder.close());
  const reader = new SlabReader();
  const files = [0, 1, 5000, 32 * 1024, 32 * 1024 + 1, 300_000, ...Array(60).fill(9000)].map((size, i) => {
    const body = randomBytes(size);
    writeFileSync(join(folder.path, String(i)), body);
    return { body, read: reader.read(join(folder.path, String(i))) };
  });
  for (const { body, read } of files) assert.deepEqual(read, body);
  assert.equal(files[2]!.read.buffer, files[1]!.read.buffer, 'small ones share');
  assert.equal(files[5]!.read.buffer.byteLength, 300_000, 'a large one keeps nothing else alive');
  assert.throws(() => reader.read(join(folder.path, 'none')), { code: 'ENOENT' });
});
