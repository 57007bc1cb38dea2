import { describe } from 'node:test';
import { startClustered } from './lib/deployment.ts';
import { pathSuite } from './lib/path.ts';

describe('clustered: MariaDB, etcd, Redis, every part a process', () => pathSuite(startClustered));
