/** Documents that must not drift from what is there. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (name: string) => readFileSync(join(root, name), 'utf8');

test('docs/dependencies.md has a line for each dependency and for nothing else', () => {
  const manifests = ['package.json', ...globSync('{apps,packages}/*/package.json', { cwd: root })];
  const wanted = new Set(
    manifests.flatMap((file) => {
      const { dependencies, devDependencies, optionalDependencies } = JSON.parse(read(file));
      return Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies });
    }),
  );
  const listed = [...read('docs/dependencies.md').matchAll(/^\| `([^`]+)` *\|/gm)].map(([, name]) => name!);
  assert.deepEqual(listed.sort(), [...wanted].filter((name) => !name.startsWith('@arcus/')).sort());
});

test('every link between documents leads somewhere', () => {
  const pages = ['README.md', ...globSync('docs/**/*.md', { cwd: root })];
  const dead = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)]
      .map(([, target]) => target!)
      .filter((target) => !existsSync(join(root, dirname(page), target)))
      .map((target) => `${page}: ${target}`),
  );
  assert.deepEqual(dead, []);
});

test('every npm script that the README names exists', () => {
  const { scripts } = JSON.parse(read('package.json'));
  for (const [, name] of read('README.md').matchAll(/npm (?:run )?(start|test|(?<=run )\w+)/g)) {
    assert.ok(name! in scripts, name);
  }
});

test('every file that a document names in the source exists', () => {
  const pages = ['README.md', ...globSync('docs/{*,adr/*,guides/*}.md', { cwd: root })];
  const named = pages.flatMap((page) =>
    [...read(page).matchAll(/`((?:apps|packages|prisma|scripts|test)\/[\w./-]+\.(?:ts|mjs|sql))`/g)].map(([, f]) => f!),
  );
  const known = named.filter((file) => !file.includes('route_random'));
  assert.ok(known.length > 5);
  for (const file of known) assert.ok(existsSync(join(root, file)), file);
});
