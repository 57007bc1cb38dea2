import { after, before } from 'node:test';
import { type MariaDbServer, startMariaDb } from '@arcus/testkit/mariadb.ts';
import { databaseSuite } from './database-suite.ts';

let server: MariaDbServer;
let count = 0;

before(async () => {
  server = await startMariaDb();
});
after(() => server.close());

databaseSuite('MariaDB', () => server.urlOf(`arcus_${++count}`));
