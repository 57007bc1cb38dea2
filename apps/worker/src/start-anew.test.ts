import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { compileCache } from '@arcus/control/compile-cache.ts';
import { lacking } from './start-anew.ts';

test('a worker limits the young part of its heap and keeps compiled code, unless somebody has chosen', () => {
  const size = '--max-semi-space-size=16';
  const folder = compileCache({});
  assert.deepEqual(lacking({ execArgv: ['--expose-gc'], env: {} }), { options: [size], env: folder });
  assert.deepEqual(lacking({ execArgv: ['--max_semi_space_size=4'], env: {} }), { options: [], env: folder });
  assert.deepEqual(lacking({ execArgv: [], env: { NODE_COMPILE_CACHE: '/x' } }), { options: [size], env: {} });
  const NODE_OPTIONS = '--no-warnings --max-semi-space-size=4';
  assert.equal(lacking({ execArgv: [], env: { NODE_OPTIONS, NODE_DISABLE_COMPILE_CACHE: '1' } }), null);
});

test('it is started again in the same process, with its arguments and environment', () => {
  const script = `
    import { startAnew } from ${JSON.stringify(new URL('./start-anew.ts', import.meta.url).href)};
    import { writeSync } from 'node:fs';
    writeSync(1, JSON.stringify({ pid: process.pid, options: process.execArgv, args: process.argv.slice(1), env: process.env.SAID, cache: process.env.NODE_COMPILE_CACHE }) + '\\n');
    startAnew();
  `;
  const args = [
    '--no-warnings',
    '--import',
    `data:text/javascript,${encodeURIComponent(script)}`,
    '-',
    'one',
    'two words',
  ];
  const output = execFileSync(process.execPath, args, { input: '', encoding: 'utf8', env: { SAID: 'hello' } });
  const [first, second, ...more] = output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(more, []);
  assert.deepEqual(second.options, [...first.options, '--max-semi-space-size=16']);
  assert.equal(second.cache, compileCache({}).NODE_COMPILE_CACHE);
  assert.deepEqual({ ...second, options: first.options, cache: undefined }, { ...first, cache: undefined });
});
