/** What commands say of the answers of an API, and how they end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { after, type TestContext, test } from 'node:test';
import { main } from './cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'arcus-remote-'));
after(() => rmSync(folder, { recursive: true }));

/** Answers by method and path; all else is 404. */
type Answers = Record<string, unknown>;

/** Runs a command line in this process against an API that gives these answers. */
async function arcus(t: TestContext, answers: Answers, ...args: string[]) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    request.resume();
    const url = new URL(request.url!, 'http://x');
    asked.push(`${request.method} ${request.url!.slice('/api/v1'.length)}`);
    const body = answers[`${request.method} ${url.pathname.slice('/api/v1'.length)}`];
    const problem = { type: 'urn:arcus:problem:not_found', title: 'There is no such thing', status: 404 };
    response.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/json', 'arcus-release': '1' });
    response.end(JSON.stringify(body ?? problem));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const sink = () => {
    let text = '';
    const stream = new Writable({
      write(chunk, _encoding, done) {
        text += chunk;
        done();
      },
    });
    return { stream, read: () => text };
  };
  const [stdout, stderr] = [sink(), sink()];
  const env = { ARCUS_API: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, ARCUS_TOKEN: 'x' };
  const code = await main(args, env, { stdout: stdout.stream, stderr: stderr.stream });
  return { code, stdout: stdout.read(), stderr: stderr.read(), asked };
}

const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

test('a push that waited does not end well while the release is held', async (t) => {
  const answers = { 'PUT /tenants/acme/config': { tenant_id: 'acme', version: 2, state: 'held', changed: false } };
  const name = file('acme.yaml', '{}');
  const waited = await arcus(t, answers, 'push', 'acme', name, '--wait');
  assert.deepEqual([waited.code, (await arcus(t, answers, 'push', 'acme', name)).code], [1, 0]);
  assert.match(waited.stdout, /release 2 is held/);
});

test('a rebase counts its changes in words that fit', async (t) => {
  const rebased = async (changes: number) => {
    const answers = { 'POST /tenants/acme/drafts/d/rebase': { base_version: 4, changes } };
    return (await arcus(t, answers, 'draft', 'rebase', 'acme', 'd')).stdout;
  };
  assert.equal(await rebased(1), 'acme: draft d is one of release 4, with 1 change\n');
  assert.equal(await rebased(2), 'acme: draft d is one of release 4, with 2 changes\n');
});

const worker = (id: string, state: string, applied: number) => ({ worker: id, state, applied, refused: null });
const summary = { workers: 2, applied: 2, lost: 0, converged: true };
const calm = { tenant_id: 'acme', version: 14, stable_version: 14, state: 'published', rollout: null, moving: null };
const statusOf = (more: object) => ({
  'GET /tenants/acme/config/status': {
    ...calm,
    store: 'here',
    summary,
    workers: [worker('w1', 'applied', 14)],
    ...more,
  },
  'GET /tenants': { items: [{ tenant_id: 'acme' }], next_cursor: null },
});

test('status names what is stable, what is held, and where a rollout is', async (t) => {
  const held = { version: 15, state: 'held' };
  const rollout = { id: 'r-1', state: 'running', phase: 'baking', step: 1, steps: 3 };
  for (const [more, said, listed, code] of [
    [{}, /^acme: release 14, published, runs on 2 of 2 live workers$/m, /^acme +14 +14 +published +2 of 2$/m, 0],
    [held, /release 15 is held, release 14 is stable; 2 of 2/, /^acme +15 +14 +held +2 of 2$/m, 1],
    [
      { ...held, rollout },
      /release 15 is rolled out, step 1 of 3 \(running, baking\), release 14 is stable; 2 of 2 live workers run what/,
      /^acme +15 +14 +rollout 1\/3, running +2 of 2$/m,
      1,
    ],
    [{ moving: { since: '2026-01-01T00:00:00Z' } }, /it moves to other workers since 2026/, /published, moving/, 1],
    [
      { store: 'away', state: 'pending', workers: [] },
      /release 14, pending; the config store is away: who runs what is not known$/m,
      /^acme +14 +14 +pending +not known$/m,
      1,
    ],
  ] as const) {
    const one = await arcus(t, statusOf(more), 'status', 'acme');
    assert.match(one.stdout, said);
    const all = await arcus(t, statusOf(more), 'status');
    assert.match(all.stdout, listed);
    assert.deepEqual([one.code, all.code], [code, code], one.stdout);
  }
});

test('of a lost worker status does not say that it runs nothing', async (t) => {
  const workers = [worker('w1', 'applied', 14), worker('w2', 'lost', 0)];
  const lost = { workers, summary: { workers: 1, applied: 1, lost: 1, converged: false } };
  const { code, stdout } = await arcus(t, statusOf(lost), 'status', 'acme');
  assert.equal(code, 1);
  assert.match(stdout, /1 of 1 live workers, 1 lost\n/);
  assert.match(stdout, /w2 +lost +what it runs is not known/);
  assert.doesNotMatch(stdout, /runs nothing/);
});

test('all workers are listed, page by page', async (t) => {
  const one = { state: 'live', host: 'h', labels: { site: 'a' }, tenants: 3, refused: 0, software: '1' };
  const items = [{ ...one, id: 'w1', last_seen_at: '2026-01-01T00:00:00Z' }];
  const listed = await arcus(t, { 'GET /workers': { items, next_cursor: null } }, 'workers', '--state', 'live');
  assert.deepEqual([listed.code, listed.asked], [0, ['GET /workers?limit=200&state=live']]);
  assert.match(listed.stdout, /^w1 +live +3 +0 +2026-01-01 00:00:00 +1 +h +site=a$/m);
  assert.match((await arcus(t, {}, 'workers', '--state', 'dead')).stderr, /--state: "dead" is neither live nor lost/);
});

test('a release is shown with why it is there and what it changed; two are compared', async (t) => {
  const release = {
    ...{ version: 4, state: 'published', created_at: '2026-01-01T00:00:00Z', author: 'ann', message: 'casinos' },
    ...{ restores: 2, rollouts: [{ id: 'r-1', state: 'halted', reason: 'w1 refused it' }] },
  };
  const changes = [{ family: 'escapers', name: 'out', change: 'added', fields: [] }];
  const base = 'GET /tenants/acme/releases';
  const answers = { [`${base}/4`]: release, [`${base}/4/diff`]: { changes }, [`${base}/2/diff/4`]: { changes: [] } };
  const shown = await arcus(t, answers, 'release', 'show', 'acme', '4');
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(
    shown.stdout,
    /^acme: release 4, published, made 2026-01-01 00:00:00 by ann, with the config of release 2$/m,
  );
  assert.match(shown.stdout, /casinos\n {2}rollout r-1, halted: w1 refused it\n\+ escapers\/out/);
  const alone = await arcus(t, { [`${base}/4`]: release }, 'release', 'show', 'acme', '4');
  assert.match(alone.stdout, /the release before is gone/);
  assert.equal((await arcus(t, answers, 'release', 'diff', 'acme', '2', '4')).code, 0);
  assert.equal((await arcus(t, answers, 'release', 'diff', 'acme', '2', 'x')).code, 2);
  assert.equal((await arcus(t, answers, 'release', 'diff', 'acme', '2', '5')).code, 2);
});
