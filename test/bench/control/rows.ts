/** Rows about changes: from a write over the management service to the worker that serves it. */
import type { Row } from '../row.ts';
import { etcdBytesRow } from './rows/etcd-bytes.ts';
import { largeTenantRow } from './rows/large-tenant.ts';
import { bootEtcdRow, bootSnapshotRow, changeCostRow, loopBlockRow, memoryRow } from './rows/many.ts';
import { served10kRow, served100Row } from './rows/served.ts';
import { releasesUnderLoadRow, rollingRestartRow } from './rows/under-load.ts';
import { writesRow } from './rows/writes.ts';

export const controlRows: readonly Row[] = [
  served100Row,
  served10kRow,
  writesRow,
  bootSnapshotRow,
  bootEtcdRow,
  memoryRow,
  changeCostRow,
  etcdBytesRow,
  loopBlockRow,
  largeTenantRow,
  releasesUnderLoadRow,
  rollingRestartRow,
];
