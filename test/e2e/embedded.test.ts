import { describe } from 'node:test';
import { startEmbedded } from './lib/deployment.ts';
import { pathSuite } from './lib/path.ts';

describe('embedded: one process, SQLite, files', () => pathSuite(startEmbedded));
