import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { testApi } from '@arcus/api/testing.ts';
import { type MariaDbServer, startMariaDb } from '@arcus/testkit/mariadb.ts';
import { until } from '@arcus/testkit/until.ts';
import { databaseSuite } from './database-suite.ts';
import { draftsSuite } from './drafts-suite.ts';
import { historySuite } from './history-suite.ts';

let server: MariaDbServer;
let count = 0;

before(async () => {
  server = await startMariaDb();
});
after(() => server.close());

const newDatabase = () => server.urlOf(`arcus_${++count}`);

databaseSuite('MariaDB', newDatabase);
draftsSuite('MariaDB', newDatabase);
historySuite('MariaDB', newDatabase);

test('a database that is away makes the service unhealthy and requests 503; it serves again by itself', async (t) => {
  const own = await startMariaDb();
  t.after(() => own.close());
  const api = await testApi({ database: own.url });
  t.after(() => api.close());
  await own.process.kill();
  const health = await until(async () => {
    const answer = await api.call('GET', '/health', { token: null });
    return answer.status === 503 ? answer : null;
  });
  assert.deepEqual([health.body.status, health.body.database.status], ['unhealthy', 'unhealthy']);
  const refused = await api.call('GET', '/tenants');
  assert.deepEqual([refused.status, refused.body.type], [503, 'urn:arcus:problem:unavailable']);
  assert.doesNotMatch(refused.text + health.text, /127\.0\.0\.1|pool|arcus:arcus/);
  await own.process.start();
  await until(async () => (await api.call('GET', '/tenants')).status === 200, { deadline: 20_000 });
});
