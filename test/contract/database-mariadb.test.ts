import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Prisma } from '@arcus/api/db/open.ts';
import { testApi } from '@arcus/api/testing.ts';
import { type MariaDbServer, startMariaDb } from '@arcus/testkit/mariadb.ts';
import { until } from '@arcus/testkit/until.ts';
import { databaseSuite } from './database-suite.ts';
import { draftsSuite } from './drafts-suite.ts';
import { historySuite } from './history-suite.ts';
import { outageSuite } from './outage-suite.ts';

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
outageSuite('MariaDB', newDatabase);

test('statements that are sent together are written together, also when a deadlock ends them on the way', async (t) => {
  const { db, close } = await testApi({ database: newDatabase() });
  t.after(close);
  const port = (number: number) => Prisma.sql`INSERT INTO listen_ports (port) VALUES (${number})`;
  const touch = (number: number) => Prisma.sql`UPDATE listen_ports SET port = port WHERE port = ${number}`;
  const ports = async () => (await db.client.listenPort.findMany({ orderBy: { port: 'asc' } })).map((row) => row.port);
  await db.client.listenPort.createMany({ data: [1, 2].map((number) => ({ port: number })) });

  assert.equal(await db.batch(() => [touch(9), port(3)]), false, 'the first one found no row');
  await assert.rejects(
    db.batch(() => [touch(1), port(3), port(2), port(4)]),
    /Duplicate entry/,
  );
  assert.deepEqual(await ports(), [1, 2]);

  // Two that want each other's row: the one with fewer changes has to begin again.
  let tries = 0;
  let waits!: () => void;
  const waiting = new Promise<void>((resolve) => {
    waits = resolve;
  });
  let batch: Promise<boolean> | undefined;
  await db.write(async (tx) => {
    await tx.listenPort.createMany({ data: [11, 12, 13, 14].map((number) => ({ port: number })) });
    await tx.$executeRaw(touch(2));
    batch ??= db.batch(function* () {
      tries++;
      yield touch(1);
      yield touch(2);
      yield port(3);
      waits();
    });
    await waiting;
    const locked = async () => {
      const [held] = await tx.$queryRaw<{ n: bigint }[]>`
        SELECT COUNT(*) AS n FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'`;
      return Number(held?.n) === 1;
    };
    // The server keeps this table as it was for as long as it is read more often than each 100 ms.
    await until(locked, { every: 200 });
    await tx.$executeRaw(touch(1));
  });
  assert.equal(await batch, true);
  assert.equal(tries, 2);
  assert.deepEqual(await ports(), [1, 2, 3, 11, 12, 13, 14]);
});

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
  await until(async () => (await api.call('GET', '/tenants')).status === 200, { deadline: 60_000 });
});
