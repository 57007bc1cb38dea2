/**
 * `npm run fuzz -- [INPUTS] [SEED]`: mutated inputs for the head parsers and the chunk reader, 10 million in all
 * unless told otherwise, shared among the targets. Ends with 1 and the input in `failure.bin` when one fails.
 */
import { writeFileSync } from 'node:fs';
import { Failure, fuzz, rss } from './run.ts';
import { targets } from './targets.ts';

const inputs = Number(process.argv[2] ?? 10_000_000);
const seed = Number(process.argv[3] ?? Date.now() % 2 ** 32);
if (!Number.isInteger(inputs) || inputs < 1 || !Number.isInteger(seed)) {
  process.stderr.write('usage: npm run fuzz -- [INPUTS] [SEED]\n');
  process.exit(2);
}

process.stdout.write(`${inputs} inputs, seed ${seed}\n`);
fuzz(1000 * targets.length, seed);
const before = rss();
try {
  for (const r of fuzz(Math.ceil(inputs / targets.length), seed, (line) => process.stdout.write(`${line}\n`))) {
    process.stdout.write(`${r.target}: ${r.inputs} inputs, ${r.accepted} accepted, ${r.perSecond}/s\n`);
  }
  process.stdout.write(`memory ${before} MiB before, ${rss()} MiB after\n`);
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  writeFileSync('failure.bin', error.input);
  process.stderr.write(`${error.message}\nwritten to failure.bin; add it to test/fuzz/seeds once it is understood\n`);
  process.exitCode = 1;
}
