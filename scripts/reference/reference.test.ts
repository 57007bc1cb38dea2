import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { staleReference } from './pages.ts';

test('docs/reference says what the code says', () => {
  const folder = join(fileURLToPath(new URL('../..', import.meta.url)), 'docs/reference');
  assert.deepEqual(staleReference(folder), [], 'run: npm run gen');
});
