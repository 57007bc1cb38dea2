/**
 * `npm run chaos -- [--short] [--json] [--docs] [--kills N] [SCENARIO…]`: hurts a whole deployment and checks what it
 * did to it. All scenarios unless some are named; ends with 1 when a promise was broken.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from '../bench/root.ts';
import { updateResults } from './lib/report.ts';
import { runScenarios } from './run.ts';
import { scenarios } from './scenarios.ts';

function usage(why: string): never {
  process.stderr.write(
    `${why}\nusage: npm run chaos -- [--short] [--json] [--docs] [--kills N] [SCENARIO…]\nscenarios:\n${scenarios
      .map(({ name, title }) => `  ${name.padEnd(20)} ${title}\n`)
      .join('')}`,
  );
  process.exit(2);
}

function readArgs() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        short: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        docs: { type: 'boolean', default: false },
        kills: { type: 'string' },
      },
    });
  } catch (error) {
    return usage((error as Error).message);
  }
}

const { values, positionals } = readArgs();
const unknown = positionals.filter((name) => !scenarios.some((one) => one.name === name));
if (unknown.length > 0) usage(`no such scenario: ${unknown.join(', ')}`);
const kills = values.kills === undefined ? undefined : Number(values.kills);
if (kills !== undefined && !(Number.isInteger(kills) && kills >= 1)) usage('--kills takes a whole number from 1 on');
const wanted = scenarios.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
let broken = 0;
for await (const ran of runScenarios(wanted, { long: !values.short, kills })) {
  const { scenario, outcome, skipped, seconds } = ran;
  if (values.docs) updateResults(join(root, 'docs/reliability.md'), ran);
  if (outcome && outcome.faults.length > 0) broken++;
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ scenario: scenario.name, seconds, skipped, ...outcome })}\n`);
    continue;
  }
  if (!outcome) {
    process.stdout.write(`- ${scenario.name}: skipped, ${skipped}\n`);
    continue;
  }
  const { hurts, convergedMs, accepted, unknown, decisions, note, faults } = outcome;
  process.stdout.write(
    `${faults.length === 0 ? '✓' : '✗'} ${scenario.name}: ${hurts} times, converged in ${convergedMs} ms; so far ` +
      `${accepted} writes accepted, ${unknown} without an answer, ${decisions} decisions${note && `; ${note}`} ` +
      `(${seconds} s)\n`,
  );
  for (const fault of faults.slice(0, 20)) process.stdout.write(`    ${fault}\n`);
  if (faults.length > 20) process.stdout.write(`    … and ${faults.length - 20} more\n`);
}
process.exitCode = broken === 0 ? 0 : 1;
