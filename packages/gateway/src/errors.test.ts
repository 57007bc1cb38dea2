import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { errorTable } from './errors.ts';

it('every code of the table is raised somewhere', () => {
  const folders = ['..', '../../protocol'].map((folder) => join(import.meta.dirname, folder));
  const files = folders
    .flatMap((folder) => globSync('src/**/*.ts', { cwd: folder }).map((file) => join(folder, file)))
    .filter((file) => !file.endsWith('.test.ts'));
  // Not what the table itself says.
  const source = files
    .map((file) => readFileSync(file, 'utf8').replace(/errorTable = \{[\s\S]*?\n\} as const/, ''))
    .join();
  const unused = Object.keys(errorTable).filter((code) => !source.includes(`'${code}'`));
  assert.deepEqual(unused, []);
});
