import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempDir } from '@arcus/testkit/temp.ts';
import { makeFolder } from './folder.ts';

test('a folder is made with those above it, and one that cannot be made is an error at once', (t) => {
  const dir = tempDir('folder');
  t.after(() => dir.close());
  const deep = join(dir.path, 'a/b/c');
  makeFolder(deep, 0o700);
  assert.equal(statSync(join(dir.path, 'a')).mode & 0o777, 0o700);
  makeFolder(deep);
  assert.equal(statSync(deep).mode & 0o777, 0o700);
  writeFileSync(join(dir.path, 'file'), '');
  assert.throws(() => makeFolder(join(dir.path, 'file')), /is not a folder/);
  assert.throws(() => makeFolder(join(dir.path, 'file/x')), { code: 'ENOTDIR' });
  assert.throws(() => makeFolder('/dev/null/x'), { code: 'ENOTDIR' });
  if (process.platform === 'linux') assert.throws(() => makeFolder('/proc/arcus/x'), { code: 'ENOENT' });
});
