import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Decision } from '@arcus/gateway/session.ts';
import { until } from '@arcus/testkit/until.ts';
import fc from 'fast-check';
import { writeDecision } from './decision-line.ts';
import { lineDestination, openDecisionLog } from './decision-log.ts';

function lineOf(decision: Decision): string {
  const out = Buffer.alloc(100_000);
  const end = writeDecision(decision, out, 10);
  return out.toString('latin1', 10, end);
}

const decision: Decision = {
  time: 1_700_000_000_000,
  tenant: 'acme',
  version: 3,
  server: 'main',
  user: 'alice',
  client: '192.0.2.1',
  method: 'GET',
  target: 'example.com:80',
  path: '/index',
  escaper: 'direct',
  peer: '192.0.2.9:80',
  action: 'allow',
  code: '',
  rule: '',
  reason: '',
  status: 200,
  bytes_in: 10,
  bytes_out: 20,
  ms: 1.23456,
  protocol: '',
};

test('a decision is one JSON line with every field', () => {
  const line = lineOf(decision);
  assert.deepEqual(JSON.parse(line), { ...decision, ms: 1.235 });
  assert.equal(line.indexOf('\n'), line.length - 1);
});

test('what a client sends cannot forge a line, a field or a terminal command', () => {
  const evil = 'a"b\\c\n{"tenant":"other"}\r\u0000\u001b[2J\u007f\u0085\u009b\u2028\u2029\ud800z';
  const line = lineOf({ ...decision, user: evil, path: evil, method: evil, target: evil, reason: evil });
  assert.doesNotMatch(line.slice(0, -1), /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
  const read = JSON.parse(line) as Decision;
  assert.equal(read.path, evil);
  assert.equal(read.tenant, 'acme');
});

test('each line tells its own decision, however alike its neighbours are', () => {
  const kinds: Decision[] = [decision, { ...decision, path: '/other', bytes_in: 7, ms: 0.5, time: 5 }];
  for (const key of Object.keys(decision) as (keyof Decision)[]) {
    const value = decision[key];
    kinds.push({ ...decision, [key]: typeof value === 'number' ? value + 1 : 'error' });
    kinds.push(decision);
  }
  for (const d of kinds) assert.deepEqual(JSON.parse(lineOf(d)), { ...d, ms: Math.round(d.ms * 1000) / 1000 });
});

test('any path and any number is written as JSON has it, and a line that may not fit is not begun', () => {
  const number = fc.oneof(
    fc.nat(),
    fc.constantFrom(0, 9, 10, 2 ** 31 - 1, 2 ** 31, 2 ** 53 - 1),
    fc.double({ min: 0, max: 1e9, noNaN: true }),
  );
  const path = fc.oneof(fc.string({ unit: 'binary', maxLength: 60 }), fc.stringMatching(/^[ -~]{0,100}$/));
  fc.assert(
    fc.property(path, number, number, number, (path, bytes_in, bytes_out, ms) => {
      const d = { ...decision, path, bytes_in, bytes_out, ms };
      assert.deepEqual(JSON.parse(lineOf(d)), { ...d, ms: Math.round(ms * 1000) / 1000 });
      const small = Buffer.alloc(300);
      const more = writeDecision(d, small, 200);
      assert.ok(more < 0 && small.every((byte) => byte === 0));
      assert.ok(writeDecision(d, Buffer.alloc(300 - more), 200) <= 300 - more);
    }),
    { numRuns: 2000 },
  );
});

test('a line that is longer than all that gathers is written all the same, in its place', () => {
  const parts: string[] = [];
  const sink = {
    write: (part: Buffer) => parts.push(part.toString()),
    flushSync: () => {},
    end: () => {},
    on: () => {},
  };
  const log = openDecisionLog(sink, () => {});
  const paths = ['/1', `/${'x'.repeat(200_000)}`, '/3'];
  for (const path of paths) log.record({ ...decision, path });
  log.close();
  const read = parts
    .join('')
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as Decision).path);
  assert.deepEqual(read, paths);
  assert.equal(log.dropped, 0);
});

test('decisions are in the file after close, though nobody waited for the disk', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'arcus-log-'));
  t.after(() => rm(dir, { recursive: true }));
  const path = join(dir, 'sub', 'decisions.log');
  const sink = lineDestination(path, false);
  await new Promise((resolve) => sink.once('ready', resolve));
  const log = openDecisionLog(sink, (error) => assert.fail(error));
  for (let i = 0; i < 1000; i++) log.record(decision);
  log.close();
  assert.equal(log.closed, false);
  await until(() => log.closed);
  assert.equal((await readFile(path, 'utf8')).split('\n').length, 1001);
  assert.equal(log.dropped, 0);
});

test('a disk that cannot keep up costs lines, which are counted, never memory without end', () => {
  const listeners: Record<string, (data?: unknown) => void> = {};
  const sink = {
    write: (part: Buffer) => listeners.drop!(part),
    flushSync: () => {},
    end: () => {},
    on: (event: string, listener: () => void) => {
      listeners[event] = listener;
    },
  };
  const log = openDecisionLog(sink, () => {});
  log.record(decision);
  log.record(decision);
  log.close();
  assert.equal(log.dropped, 2);
});
