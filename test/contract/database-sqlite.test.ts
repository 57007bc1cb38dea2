import { databaseSuite } from './database-suite.ts';
import { draftsSuite } from './drafts-suite.ts';
import { historySuite } from './history-suite.ts';
import { outageSuite } from './outage-suite.ts';

databaseSuite('SQLite', () => undefined);
draftsSuite('SQLite', () => undefined);
historySuite('SQLite', () => undefined);
outageSuite('SQLite', () => undefined);
