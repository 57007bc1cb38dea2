import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../../scripts/lib/root.mjs';

const tools = [
  ['biome', ['check', '--error-on-warnings']],
  ['tsc', []],
];

/** Style and types of everything; prints only what is wrong. */
export async function checks() {
  const results = await Promise.all(tools.map(([tool, args]) => check(tool, args)));
  return { passed: results.filter(Boolean).length, failed: results.filter((ok) => !ok).length, skipped: 0 };
}

function check(tool, args) {
  const child = spawn(join(root, 'node_modules', '.bin', tool), args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  return new Promise((resolve) => {
    child.once('error', (error) => {
      process.stdout.write(`${tool}: ${error.message}\n`);
      resolve(false);
    });
    child.once('close', (code) => {
      if (code !== 0) process.stdout.write(`${tool} found faults:\n${output}\n`);
      resolve(code === 0);
    });
  });
}
