/**
 * The whole test run: `node test/run.mjs [PHASE…]`. Without phases: all of them, with what they need installed first.
 * Ends with the line "N passed, N failed"; exits with 0 only if something ran and nothing failed.
 */
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../scripts/lib/root.mjs';
import { checks } from './run/checks.mjs';
import { ensureServers } from './run/servers.mjs';
import { runFiles } from './run/tests.mjs';

/** In this order. `servers`: needs real MariaDB, etcd and Redis. `concurrency`: test files at a time. */
const phases = {
  check: {},
  unit: {
    files: ['apps/*/src/**/*.test.ts', 'packages/*/src/**/*.test.ts', 'scripts/**/*.test.ts'],
    concurrency: 2,
    servers: true,
  },
  contract: { files: ['test/contract/**/*.test.ts'], concurrency: 2, servers: true },
  project: { files: ['test/project/**/*.test.ts'], concurrency: 2 },
  golden: { files: ['test/golden/**/*.test.ts'], concurrency: 2 },
  conformance: { files: ['test/conformance/**/*.test.ts'], concurrency: 2 },
  fuzz: { files: ['test/fuzz/**/*.test.ts'], concurrency: 2 },
  load: { files: ['test/load/**/*.test.ts'], concurrency: 1 },
  chaos: { files: ['test/chaos/**/*.test.ts'], concurrency: 2, servers: true },
  e2e: { files: ['test/e2e/**/*.test.ts'], concurrency: 1, servers: true },
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !Object.hasOwn(phases, name));
if (unknown.length > 0) {
  process.stderr.write(`no such phase: ${unknown.join(', ')}. There are: ${Object.keys(phases).join(', ')}\n`);
  process.exit(2);
}

process.chdir(root);
const selected = Object.entries(phases).filter(([name]) => wanted.length === 0 || wanted.includes(name));
const total = { passed: 0, failed: 0, skipped: 0 };
try {
  if (selected.some(([, phase]) => phase.servers)) ensureServers();
  for (const [name, phase] of selected) {
    const started = performance.now();
    const files = (phase.files ?? []).flatMap((pattern) => globSync(pattern, { cwd: root })).sort();
    if (phase.files && files.length === 0) continue;
    const result = phase.files
      ? await runFiles(
          files.map((file) => join(root, file)),
          phase.concurrency,
        )
      : await checks();
    for (const key of Object.keys(total)) total[key] += result[key];
    const skipped = result.skipped > 0 ? `, ${result.skipped} skipped` : '';
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    process.stdout.write(
      `${name.padEnd(12)} ${result.passed} passed, ${result.failed} failed${skipped} (${seconds} s)\n`,
    );
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  total.failed += 1;
}
process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
