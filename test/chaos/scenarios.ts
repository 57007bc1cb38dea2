import type { Scenario } from './scenario.ts';
import { clockJumps } from './scenarios/clock.ts';
import { diskFull, snapshotDamaged } from './scenarios/disk.ts';
import { cutOff } from './scenarios/partition.ts';
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
import { garbage } from './scenarios/values.ts';

/** What happens to processes and to the stores that they need. */
export const atHome: readonly Scenario[] = [
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
];

/** What happens to what they stand on: disks, clocks, networks, values. */
export const around: readonly Scenario[] = [snapshotDamaged, diskFull, clockJumps, garbage, membersStopped, cutOff];

/** All that is done to a deployment, in this order. */
export const scenarios: readonly Scenario[] = [...atHome, ...around];
