/**
 * `npm run bench -- NAME… [--json FILE] [--docs] [--profile FOLDER] [--node=OPTION]…`: measures Arcus beside its neighbours. The proxy
 * under test has one core, everything else another.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { closeWorlds } from './control/world.ts';
import { Lab } from './lab.ts';
import { describeMachine, pinSelf, requirePrograms, setUrgent, twoCores } from './machine.ts';
import { watchOthers } from './measure.ts';
import { topFunctions } from './profile.ts';
import { formatResult, formatTable, updatePage } from './report.ts';
import { root } from './root.ts';
import type { Result } from './row.ts';
import { rows } from './rows.ts';

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'string' },
      docs: { type: 'boolean' },
      profile: { type: 'string' },
      node: { type: 'string', multiple: true },
    },
  });
  const unknown = positionals.filter((name) => !rows.some((row) => row.name === name));
  if (unknown.length > 0) {
    throw new Error(`no such row: ${unknown.join(', ')}. There are: ${rows.map((row) => row.name).join(', ')}`);
  }
  const wanted = rows.filter((row) => positionals.length === 0 || positionals.includes(row.name));
  requirePrograms(wanted.flatMap((row) => row.programs));
  const cores = twoCores();
  pinSelf(cores.rest);
  const profile = values.profile && resolve(values.profile);
  const nodeOptions = [...(values.node ?? [])];
  if (profile) {
    mkdirSync(profile, { recursive: true });
    nodeOptions.push('--cpu-prof', '--cpu-prof-interval=200', `--cpu-prof-dir=${profile}`);
  }

  const machine = describeMachine();
  for (const [what, value] of Object.entries(machine)) process.stdout.write(`${what.padEnd(12)} ${value}\n`);
  process.stdout.write('\n');
  const results: Result[] = [];
  const parts = { bench: [] as Result[], control: [] as Result[] };
  let busiest = 0;
  for (const row of wanted) {
    const lab = new Lab(cores, nodeOptions);
    const started = performance.now();
    const others = watchOthers();
    setUrgent(row.urgent ?? false);
    try {
      for (const result of await row.run(lab)) {
        results.push(result);
        parts[row.page ?? 'bench'].push(result);
        process.stdout.write(`${formatResult(result)}\n`);
      }
    } finally {
      await lab.close();
      pinSelf(cores.rest);
    }
    const other = others();
    busiest = Math.max(busiest, other);
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    process.stdout.write(
      `${' '.repeat(28)}${seconds} s; others used ${other.toFixed(2)} cores meanwhile, load ${loadavg()[0]!.toFixed(1)}\n`,
    );
  }
  process.stdout.write(`\n${formatTable(results)}\n`);
  if (profile) process.stdout.write(`\nown time of functions, of the time not idle\n${topFunctions(profile)}\n`);
  if (values.json) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
  if (values.docs) {
    machine['other work meanwhile'] = `up to ${busiest.toFixed(1)} cores`;
    for (const part of ['bench', 'control'] as const) {
      if (parts[part].length > 0) updatePage(join(root, 'docs/benchmarks.md'), part, parts[part], machine);
    }
  }
  return 0;
}

try {
  try {
    process.exitCode = await main();
  } finally {
    await closeWorlds();
  }
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
