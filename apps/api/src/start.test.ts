import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { ConfigStore } from '@arcus/control/store.ts';
import { testKeys } from '@arcus/testkit/keys.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until, within } from '@arcus/testkit/until.ts';
import { pino } from 'pino';
import { parseEnv } from './env.ts';
import { ensureAdminToken } from './features/tokens/store.ts';
import { startApi } from './start.ts';
import { testApi } from './testing.ts';

const silent = { log: pino({ level: 'silent' }) };

function environment(t: TestContext) {
  const dir = tempDir('start');
  t.after(() => dir.close());
  return {
    ARCUS_API_LISTEN: '127.0.0.1:0',
    ARCUS_DATABASE_URL: `file:${dir.path}/arcus.db`,
    ARCUS_STORE_URL: `file:${dir.path}/store`,
    ARCUS_SECRET_KEY: Buffer.alloc(32, 1).toString('base64'),
    ARCUS_SIGNING_KEY: testKeys().env.ARCUS_SIGNING_KEY,
  };
}

test('starts on an empty folder, serves, stops, and starts again with all its data', async (t) => {
  const env = parseEnv(environment(t));
  const first = await startApi(env, silent);
  const token = await ensureAdminToken(first.db);
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const body = JSON.stringify({ tenant_id: 'acme', tenant_name: 'Acme' });
  const made = await fetch(`${first.url}/api/v1/tenants`, { method: 'POST', headers, body });
  assert.equal(made.status, 201, await made.text());
  await first.close();
  assert.equal(first.app.http.server.listening, false);

  const second = await startApi(env, silent);
  t.after(() => second.close());
  assert.equal(await ensureAdminToken(second.db), null);
  const got = await fetch(`${second.url}/api/v1/tenants/acme`, { headers });
  assert.equal(((await got.json()) as { tenant_name: string }).tenant_name, 'Acme');
});

test('a stop does not wait for a kept connection whose request was answered meanwhile', async (t) => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  const store = {
    close: async () => {},
    ping: () => {
      asked.resolve();
      return answer.promise;
    },
  };
  const api = await testApi({ store: store as unknown as ConfigStore });
  const { http } = api.app;
  const { port } = new URL(await http.listen({ host: '127.0.0.1', port: 0 }));
  const client = await RawClient.connect({ port: Number(port), deadline: 40_000 });
  t.after(() => client.close());
  const health = client.request('GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await asked.promise;
  const stopped = api.close();
  await until(() => !http.server.listening);
  answer.resolve();
  assert.equal((await health).status, 200);
  await within(stopped, 'it stops', 40_000);
  await client.closed();
});

test('a port that is taken is an error with its code, and leaves nothing open', async (t) => {
  const env = parseEnv(environment(t));
  const first = await startApi(env, silent);
  t.after(() => first.close());
  const taken = new URL(first.url).host;
  await assert.rejects(startApi(parseEnv({ ...environment(t), ARCUS_API_LISTEN: taken }), silent), {
    code: 'EADDRINUSE',
  });
});

test('the environment is refused with every variable that is wrong, and without its values', () => {
  const env = { ARCUS_API_LISTEN: 'nonsense', ARCUS_LOG_LEVEL: 'loud', ARCUS_STORE_PASSWORD: 'hush' };
  assert.throws(
    () => parseEnv(env),
    (error: Error) =>
      ['ARCUS_API_LISTEN', 'ARCUS_LOG_LEVEL', 'ARCUS_DATABASE_URL', 'ARCUS_STORE_URL'].every((name) =>
        error.message.includes(name),
      ) && !error.message.includes('hush'),
  );
});

test('as a process it stops cleanly on SIGTERM and logs no token', async (t) => {
  const main = fileURLToPath(new URL('./main.ts', import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [main], {
    env: { PATH: process.env.PATH ?? '', ...environment(t) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk) => (output += chunk));
  const url = await until(() => /"url":"(http:[^"]+)"/.exec(output)?.[1], { what: 'it listens', deadline: 60_000 });
  const refused = await fetch(`${url}/api/v1/tenants`, { headers: { authorization: 'Bearer arcus_topsecret' } });
  assert.equal(refused.status, 401);
  const ended = once(child, 'close');
  child.kill('SIGTERM');
  // Also all that it printed is here then.
  const [code] = (await ended) as [number];
  assert.equal(code, 0, output);
  assert.doesNotMatch(output, /topsecret/);
});
