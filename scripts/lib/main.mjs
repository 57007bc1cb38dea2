import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ensureDatabaseClients, ensureDependencies, node24 } from './prepare.mjs';
import { root } from './root.mjs';
import { handOver } from './spawn.mjs';

/** name -> the script it runs, and the arguments before the user's own. */
const tasks = {
  start: { entry: 'apps/cli/src/main.ts', args: ['up'] },
  arcus: { entry: 'apps/cli/src/main.ts', args: [] },
  check: { entry: 'test/run.mjs', args: ['check', 'unit'] },
  test: { entry: 'test/run.mjs', args: [] },
  bench: { entry: 'test/bench/main.ts', args: [] },
  fuzz: { entry: 'test/fuzz/main.ts', args: [] },
  chaos: { entry: 'test/chaos/main.ts', args: [] },
  load: { entry: 'test/load/main.ts', args: [] },
  gen: { entry: 'scripts/gen.mjs', args: [] },
};

/**
 * Runs one task and resolves to its exit code.
 * @param {readonly string[]} argv task name, then its own arguments
 */
export async function main([name = '', ...rest]) {
  const task = Object.hasOwn(tasks, name) ? tasks[name] : undefined;
  if (task === undefined) {
    process.stderr.write(`usage: node scripts/run.mjs ${Object.keys(tasks).join('|')} [arguments]\n`);
    return 2;
  }
  const entry = join(root, task.entry);
  if (!existsSync(entry)) {
    process.stderr.write(`${name}: ${task.entry} does not exist\n`);
    return 2;
  }
  try {
    ensureDependencies();
    const node = node24();
    await ensureDatabaseClients();
    return await handOver(node, ['--disable-warning=ExperimentalWarning', entry, ...task.args, ...rest]);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    return 1;
  }
}
