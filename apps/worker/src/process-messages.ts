/** What a worker's processes say to each other, over Node's IPC channel. */
import type { TenantStatus } from '@arcus/control/release.ts';
import type { Dimension } from '@arcus/gateway/stats.ts';
import type { Gauge } from './metrics.ts';

/** Counters that changed: absolute values since that process started, in the order of `fieldNames`. */
export type CounterValues = readonly [tenant: string, dimension: Dimension, name: string, values: Float64Array];

export type FromProcess =
  | { readonly type: 'ready' }
  | { readonly type: 'heard' }
  /** May this process listen there? Answered by `claimed`. */
  | { readonly type: 'claim'; readonly address: string }
  | { readonly type: 'unclaim'; readonly address: string }
  | { readonly type: 'statuses'; readonly statuses: readonly (readonly [string, TenantStatus | null])[] }
  | {
      readonly type: 'numbers';
      readonly counters: readonly CounterValues[];
      readonly counts: { readonly tenants: number; readonly refused: number };
      readonly problems: readonly string[];
      readonly gauges: readonly Gauge[];
    };

export type ToProcess =
  | { readonly type: 'stop'; readonly now: boolean }
  | { readonly type: 'claimed'; readonly address: string; readonly ours: boolean };
