/** `npm run gen`: writes the generated pages below docs/reference. `--check` only compares. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { root } from './lib/root.mjs';
import { referencePages, staleReference } from './reference/pages.ts';

const folder = join(root, 'docs/reference');

if (process.argv.includes('--check')) {
  const stale = staleReference(folder);
  for (const page of stale) process.stdout.write(`${page}\n`);
  process.exitCode = stale.length === 0 ? 0 : 1;
} else {
  const pages = referencePages();
  for (const [path, text] of pages) {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    if (entry.isFile() && !pages.has(relative(folder, file))) rmSync(file);
  }
}
