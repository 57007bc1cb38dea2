/** The README's tour, as pasted. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort } from '@arcus/testkit/port.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { cleanEnv, startUp, type Up } from './lib/deployment.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const dir = tempDir('readme');
let up: Up;

before(async () => {
  up = await startUp(join(dir.path, 'data'));
});
after(async () => {
  await up?.process.close();
  dir.close();
});

test('the five-minute tour works as pasted', async () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const blocks = [...readme.matchAll(/^```sh tour\n([\s\S]*?)^```$/gm)].map(([, block]) => block!);
  assert.ok(blocks.length >= 6, `only ${blocks.length} blocks of the tour were found`);
  // Only what other tests may use at the same time is replaced: the port and the folder of the two files.
  const port = String(await freePort());
  const script = blocks.map((block, i) => `echo; echo "## ${i}"\n${block}`).join('\n');
  const pasted = script.replaceAll('8080', port).replaceAll('/tmp/', `${dir.path}/`);

  const shell = spawn('bash', [], {
    cwd: root,
    env: cleanEnv({ ARCUS_DATA: up.data }),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  shell.stdin.end(pasted);
  const [stdout, stderr] = await Promise.all([text(shell.stdout), text(shell.stderr), once(shell, 'close')]);
  const said = stdout.split(/^## \d+$/m).slice(1);
  const expected = [
    /"status":"healthy"/,
    /"tenant_id":"acme"/,
    /"state":"acked"/,
    /"status":"healthy"/,
    /"exact_match":"127\.0\.0\.1"[\s\S]*\n403$/m,
    /~ policies\/sites[\s\S]*runs on the one live worker[\s\S]*applied[\s\S]*"status":"healthy"/,
    /wrong\.yaml:\d+:\d+ \/servers\/0\/escaper/,
  ];
  assert.equal(said.length, expected.length);
  for (const [i, pattern] of expected.entries()) assert.match(said[i]!, pattern, `step ${i}; stderr:\n${stderr}`);
  const complaints = stderr.split('\n').filter((line) => line !== '' && !/^npm (warn|notice)/.test(line));
  assert.deepEqual(complaints, [`arcus: 1 fault in ${dir.path}/wrong.yaml`]);
});
