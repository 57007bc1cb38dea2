import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { heapOptions } from './heap.ts';

test('a worker limits the young part of its heap, unless somebody has chosen', () => {
  assert.deepEqual(heapOptions({ execArgv: ['--expose-gc'], nodeOptions: undefined }), ['--max-semi-space-size=16']);
  assert.deepEqual(heapOptions({ execArgv: ['--max_semi_space_size=4'], nodeOptions: undefined }), []);
  assert.deepEqual(heapOptions({ execArgv: [], nodeOptions: '--no-warnings --max-semi-space-size=4' }), []);
});

test('it is started again in the same process, with its arguments and environment', () => {
  const script = `
    import { startAnew } from ${JSON.stringify(new URL('./heap.ts', import.meta.url).href)};
    import { writeSync } from 'node:fs';
    writeSync(1, JSON.stringify({ pid: process.pid, options: process.execArgv, args: process.argv.slice(1), env: process.env.SAID }) + '\\n');
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
  assert.deepEqual({ ...second, options: first.options }, first);
});
