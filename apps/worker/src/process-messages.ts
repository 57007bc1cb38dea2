/** What a worker's processes say to each other, over Node's IPC channel. */
import type { TenantStatus } from '@arcus/control/release.ts';
import type { ListenAddress } from '@arcus/gateway/kind.ts';
import type { Taken } from '@arcus/gateway/limits.ts';
import type { Dimension } from '@arcus/gateway/stats.ts';
import type { Gauge } from './metrics.ts';
import type { ClientCounts } from './process-clients.ts';

/** Counters that changed: absolute values since that process started, in the order of `fieldNames`. */
export type CounterValues = readonly [tenant: string, dimension: Dimension, name: string, values: Float64Array];

/** Sessions that a process let through; each other one hears of them. */
export type Takes = { readonly type: 'takes'; readonly taken: readonly Taken[] };

export type FromProcess =
  | { readonly type: 'ready' }
  | { readonly type: 'heard' }
  /** Answered by `opened` of the same `id`. */
  | { readonly type: 'open'; readonly id: number; readonly listen: ListenAddress }
  /** It listens there no more. */
  | { readonly type: 'release'; readonly address: string }
  /** The answer to `hold`. */
  | { readonly type: 'held' }
  | { readonly type: 'clients'; readonly changes: ClientCounts }
  | Takes
  | { readonly type: 'statuses'; readonly statuses: readonly (readonly [string, TenantStatus | null])[] }
  | {
      readonly type: 'numbers';
      readonly counters: readonly CounterValues[];
      readonly counts: { readonly tenants: number; readonly refused: number };
      readonly problems: readonly string[];
      readonly gauges: readonly Gauge[];
    };

export type ToProcess =
  /** `handover`: a successor serves already. */
  | { readonly type: 'stop'; readonly now: boolean; readonly handover: boolean }
  /** With the handle of a bound socket, or else the system's code. */
  | { readonly type: 'opened'; readonly id: number; readonly code?: string }
  /** With a handle: accept on it, too. Without: not any more. */
  | { readonly type: 'lend'; readonly address: string }
  /** A successor reads the snapshot now: write nothing to it. */
  | { readonly type: 'hold' }
  /** There is no successor after all. */
  | { readonly type: 'resume' }
  | { readonly type: 'clients'; readonly changes: ClientCounts }
  | Takes;
