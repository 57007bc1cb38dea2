/** All rows, in the order of the page. */
import type { Row } from './row.ts';
import { forwardRows } from './rows/forward.ts';
import { tunnelRows } from './rows/tunnels.ts';

export const rows: readonly Row[] = [...forwardRows, ...tunnelRows];
