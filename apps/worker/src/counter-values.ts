import { type Counters, latencyBounds } from '@arcus/gateway/stats.ts';

/** The counters of one thing as a row of numbers, in this order. */
export const fieldNames = [
  'connections',
  'requests',
  'bytes_in',
  'bytes_out',
  'errors',
  'blocked',
  'active',
  'latency_sum',
  ...latencyBounds.map((bound) => `le_${bound}`),
  'le_inf',
] as const;

export function readCounters(c: Counters): Float64Array {
  const values = new Float64Array(fieldNames.length);
  values[0] = c.connections;
  values[1] = c.requests;
  values[2] = c.bytes_in;
  values[3] = c.bytes_out;
  values[4] = c.errors;
  values[5] = c.blocked;
  values[6] = c.active;
  values[7] = Math.round(c.latency_sum * 1000) / 1000;
  values.set(c.latency, 8);
  return values;
}

/** Adds what `now` has more than `before` (zeros when absent). */
export function addCounters(c: Counters, now: Float64Array, before: Float64Array | undefined): void {
  const more = (i: number) => now[i]! - (before ? before[i]! : 0);
  c.connections += more(0);
  c.requests += more(1);
  c.bytes_in += more(2);
  c.bytes_out += more(3);
  c.errors += more(4);
  c.blocked += more(5);
  c.active += more(6);
  c.latency_sum += more(7);
  for (let i = 0; i < c.latency.length; i++) c.latency[i]! += more(8 + i);
}

/** The row of numbers when it is another one than `before` (absent: zeros); null when it is not, which costs little. */
export function changedCounters(c: Counters, before: Float64Array | undefined): Float64Array | null {
  const was = before ?? zeros;
  let same =
    c.connections === was[0] &&
    c.requests === was[1] &&
    c.bytes_in === was[2] &&
    c.bytes_out === was[3] &&
    c.errors === was[4] &&
    c.blocked === was[5] &&
    c.active === was[6];
  // The sum of latencies changes only with their counts.
  for (let i = 0; same && i < c.latency.length; i++) same = c.latency[i] === was[8 + i];
  return same ? null : readCounters(c);
}

const zeros = new Float64Array(fieldNames.length);
