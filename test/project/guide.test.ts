/** docs/guides/add-an-escaper.md, followed word for word in a copy of the sources. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, existsSync, globSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { tempDir } from '@arcus/testkit/temp.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const dir = tempDir('guide');
after(() => dir.close());

/** The sources; packages of others are linked to, those of the workspace are the copy's own. */
function copyOfSources(): string {
  const copy = join(dir.path, 'arcus');
  for (const part of ['apps', 'packages', 'scripts', 'docs/reference', 'package.json', 'tsconfig.json', 'biome.json']) {
    cpSync(join(root, part), join(copy, part), {
      recursive: true,
      filter: (path) => basename(path) !== 'node_modules',
    });
  }
  for (const modules of ['node_modules', ...globSync('{apps,packages}/*/node_modules', { cwd: root })]) {
    const to = join(copy, modules);
    cpSync(join(root, modules), to, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => !['.pnpm', '.bin'].includes(basename(path)),
    });
  }
  for (const store of ['.pnpm', '.bin'])
    symlinkSync(join(root, 'node_modules', store), join(copy, 'node_modules', store));
  return copy;
}

test('the escaper of the guide, its test and its page come out as the guide says', async () => {
  const copy = copyOfSources();
  const page = readFileSync(join(root, 'docs/guides/add-an-escaper.md'), 'utf8');
  const [kind, listed, ownTest] = [...page.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code!);
  const at = (file: string) => join(copy, 'packages/gateway/src/escapers', file);
  writeFileSync(at('route_random.ts'), kind!);
  writeFileSync(at('route_random.test.ts'), ownTest!);
  const [, line, name] = /^(import .*)[\s\S]*\[directFixed, …, (\w+)\] as const;$/m.exec(listed!)!;
  const list = readFileSync(at('kinds.ts'), 'utf8');
  writeFileSync(at('kinds.ts'), `${line}\n${list.replace('] as const', `, ${name}] as const`)}`);

  // Inside of a test Node would leave out the tests that it is told to run.
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined };
  const go = (program: string, ...args: string[]) =>
    run(program, args, { cwd: copy, env }).catch((error) => assert.fail(`${error.message}\n${error.stdout}`));
  const tool = (name: string) => join(copy, 'node_modules/.bin', name);
  await go(process.execPath, 'scripts/gen.mjs');
  assert.ok(existsSync(join(copy, 'docs/reference/escapers/route_random.md')));
  const biome = ['check', '--write', '--vcs-enabled=false', '--error-on-warnings'];
  await go(tool('biome'), ...biome, 'packages/gateway/src/escapers');
  for (const [file, text] of [
    ['route_random.ts', kind],
    ['route_random.test.ts', ownTest],
  ] as const) {
    assert.equal(readFileSync(at(file), 'utf8'), text, 'the guide is formatted as the code is');
  }
  writeFileSync(join(copy, 'gateway.json'), '{ "extends": "./tsconfig.json", "include": ["packages/gateway"] }');
  await go(tool('tsc'), '-p', 'gateway.json');
  const tests = [
    at('route_random.test.ts'),
    'packages/gateway/src/testing/contract.test.ts',
    'scripts/reference/reference.test.ts',
  ];
  const { stdout } = await go(process.execPath, '--test', '--test-reporter=spec', ...tests);
  assert.match(stdout, /takes each of its ways/);
  assert.match(stdout, /escapers route_random/);
});
