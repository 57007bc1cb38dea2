import type { Scenario } from './scenario.ts';
import { apiKilled, workerKilled } from './scenarios/processes.ts';
import {
  allDown,
  databaseRestarted,
  etcdCompacted,
  etcdFrozen,
  etcdKilled,
  etcdRestored,
  etcdWiped,
  membersStopped,
  redisGone,
} from './scenarios/stores.ts';

/** All that is done to a deployment, in this order. */
export const scenarios: readonly Scenario[] = [
  apiKilled,
  workerKilled,
  etcdKilled,
  etcdFrozen,
  etcdCompacted,
  etcdWiped,
  etcdRestored,
  redisGone,
  databaseRestarted,
  allDown,
  membersStopped,
];
