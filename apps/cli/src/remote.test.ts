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
