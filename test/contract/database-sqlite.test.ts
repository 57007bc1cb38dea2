import { databaseSuite } from './database-suite.ts';

databaseSuite('SQLite', () => undefined);
