import { databaseSuite } from './database-suite.ts';
import { draftsSuite } from './drafts-suite.ts';

databaseSuite('SQLite', () => undefined);
draftsSuite('SQLite', () => undefined);
