import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FastifyBaseLogger } from 'fastify';
import { pino } from 'pino';
import { testApi } from '../testing.ts';

test('a release that workers have not answered for in time is told to who asked, and is no error of the service', async (t) => {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const api = await testApi({ log: log as FastifyBaseLogger });
  t.after(() => api.close());
  const body = { tenant_id: 'acme', tenant_name: 'x' };
  const answer = await api.call('POST', '/tenants?wait=acked&timeout=1ms', { body });
  assert.equal(answer.status, 504, answer.text);
  const loud = lines.filter((line) => (line.level as number) > 30).map(({ level, msg, err }) => ({ level, msg, err }));
  assert.deepEqual(loud, [{ level: 40, msg: 'release_unacknowledged', err: undefined }]);
});

test('a conflict is not told as something that exists already, unless it does', async (t) => {
  const api = await testApi();
  t.after(() => api.close());
  const body = { tenant_id: 'acme', tenant_name: 'x' };
  const first = await api.call('POST', '/tenants?publish=hold', { body });
  assert.deepEqual([first.status, first.body.title], [409, 'It does not go with what is there now']);
  assert.match(first.body.detail, /^the first release cannot be held/);
  await api.call('POST', '/tenants', { body });
  assert.equal((await api.call('POST', '/tenants', { body })).body.detail, 'A tenant with this id exists already');
});
