import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { compileCache } from './compile-cache.ts';

const scripts = new URL('../../../scripts/lib/spawn.mjs', import.meta.url).href;

test('compiled code is kept where the scripts keep it, unless somebody has chosen', async () => {
  // By its address: it is JavaScript without types, for a Node that reads no others.
  const { compileCache: folder } = await import(scripts);
  assert.deepEqual(compileCache({}), { NODE_COMPILE_CACHE: folder });
  assert.deepEqual(compileCache({ NODE_COMPILE_CACHE: '/elsewhere' }), {});
  assert.deepEqual(compileCache({ NODE_DISABLE_COMPILE_CACHE: '1' }), {});
});

test('the scripts pass it to what they run', () => {
  const print = "['-p', 'process.env.NODE_COMPILE_CACHE']";
  const script = `(await import(${JSON.stringify(scripts)})).handOver(process.execPath, ${print})`;
  const said = (env: Record<string, string>) =>
    execFileSync(process.execPath, ['--input-type=module', '-e', script], { env, encoding: 'utf8' }).trim();
  assert.equal(said({}), compileCache({}).NODE_COMPILE_CACHE);
  const chosen = join(tmpdir(), 'arcus-no-such-folder');
  assert.equal(said({ NODE_COMPILE_CACHE: chosen, NODE_DISABLE_COMPILE_CACHE: '1' }), chosen);
});
