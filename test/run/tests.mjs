import { relative } from 'node:path';
import { run } from 'node:test';
import { inspect } from 'node:util';
import { root } from '../../scripts/lib/root.mjs';

/** No file may take longer: something in it waits for ever, or was left open. Busy machines take minutes for the longest. */
const FILE_LIMIT_MS = 600_000;
const KEPT_OUTPUT = 8_000;

/**
 * Runs test files, each in its own process; prints each failure as it happens, with what the file wrote before it.
 * @param {readonly string[]} files absolute paths @param {number} concurrency files at a time
 * @param {number} [limit] ms that one file may take
 */
export async function runFiles(files, concurrency, limit = FILE_LIMIT_MS) {
  const result = { passed: 0, failed: 0, skipped: 0 };
  const queue = [...files];
  const worker = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) await runFile(file, limit, result);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return result;
}

async function runFile(file, limit, result) {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), limit);
  const name = relative(root, file);
  let output = '';
  const fail = (title, where, error) => {
    result.failed += 1;
    process.stdout.write(`\n✗ ${title}\n  ${where}\n${indent(describe(error))}\n`);
    if (output !== '') process.stdout.write(`  it wrote:\n${indent(output.trimEnd())}\n`);
    output = '';
  };
  // The signal is what ends a file that never finishes: `timeout` only reaches its single tests.
  for await (const { type, data } of run({ files: [file], signal: deadline.signal })) {
    if (type === 'test:stdout' || type === 'test:stderr') output = (output + data.message).slice(-KEPT_OUTPUT);
    if (type === 'test:pass' && data.name !== file) pass(data, result);
    // The part that failed was told already.
    if (type !== 'test:fail' || data.details.error?.failureType === 'subtestsFailed') continue;
    if (deadline.signal.aborted) fail(name, name, `did not end within ${limit / 1000} s: is something left open?`);
    else fail(data.name, `${name}:${data.line ?? 1}`, data.details.error);
  }
  clearTimeout(timer);
}

function pass({ name, skip, todo, details }, result) {
  if (skip !== undefined || todo !== undefined) {
    result.skipped += 1;
    process.stdout.write(`  skipped: ${name}${typeof skip === 'string' ? ` (${skip})` : ''}\n`);
  } else if (details.type !== 'suite') result.passed += 1;
}

/** What went wrong, without the frames of the test runner itself. */
function describe(error) {
  const cause = error?.cause ?? error;
  const text = typeof cause === 'string' ? cause : inspect(cause, { depth: 4 });
  return text.replace(/\n *at [^\n]*(?:node:|\(<anonymous>\))[^\n]*(?=\n)/g, '');
}

const indent = (text) => text.replace(/^/gm, '    ');
