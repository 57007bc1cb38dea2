/** All rows, in the order of the page. */
import { controlRows } from './control/rows.ts';
import type { Row } from './row.ts';
import { forwardRows } from './rows/forward.ts';
import { idleTunnelRow } from './rows/idle-tunnel.ts';
import { latencyRow } from './rows/latency.ts';
import { processesRow } from './rows/processes.ts';
import { rulesRow } from './rows/rules.ts';
import { tunnelRows } from './rows/tunnels.ts';

export const rows: readonly Row[] = [
  ...forwardRows,
  ...tunnelRows,
  idleTunnelRow,
  latencyRow,
  rulesRow,
  processesRow,
  ...controlRows,
];
