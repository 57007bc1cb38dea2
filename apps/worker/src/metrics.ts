/** Metrics as Prometheus reads them (text format 0.0.4). Users have no series: there may be hundreds of thousands. */
import { setImmediate as turn } from 'node:timers/promises';
import { type Counters, counterNames, type Dimension, latencyBounds, type Stats } from '@arcus/gateway/stats.ts';

/** One number of the process. */
export interface Gauge {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  /** A value, or one per label set as it is written: `quantile="0.99"`. */
  readonly value: number | Readonly<Record<string, number>>;
}

const helps: Record<(typeof counterNames)[number], string> = {
  connections: 'Connections opened',
  requests: 'Requests and tunnels',
  bytes_in: 'Bytes from clients',
  bytes_out: 'Bytes to clients',
  errors: 'Requests that failed',
  blocked: 'Requests that policy refused',
};
const shown = ['tenant', 'server', 'escaper'] as const satisfies Dimension[];
const SLICE = 500;

/** The page in parts; the event loop has its turn between them. */
export async function* renderMetrics(gauges: readonly Gauge[], stats: Stats): AsyncGenerator<string> {
  let text = '';
  for (const { name, type, help, value } of gauges) {
    text += head(name, type, help);
    if (typeof value === 'number') text += `${name} ${value}\n`;
    else for (const [labels, v] of Object.entries(value)) text += `${name}{${labels}} ${v}\n`;
  }
  yield text;

  const byDimension = Map.groupBy(stats.values(), (c) => c.dimension);
  for (const dimension of shown) {
    const all = byDimension.get(dimension) ?? [];
    for (const counter of counterNames) {
      const name = `arcus_${dimension}_${counter}_total`;
      yield head(name, 'counter', `${helps[counter]}, by ${dimension}`);
      yield* lines(all, (c) => `${name}{${labelsOf(c)}} ${c[counter]}\n`);
    }
    const name = `arcus_${dimension}_connections_active`;
    yield head(name, 'gauge', `Connections or tunnels open now, by ${dimension}`);
    yield* lines(all, (c) => `${name}{${labelsOf(c)}} ${c.active}\n`);
  }
  yield head('arcus_request_duration_seconds', 'histogram', 'Time that requests took, by server');
  yield* lines(byDimension.get('server') ?? [], histogram);
}

const head = (name: string, type: string, help: string) => `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;

// Names of tenants and of config objects need no escaping: their schema allows letters, digits, '_', '.', '-'.
const labelsOf = (c: Counters) =>
  c.dimension === 'tenant' ? `tenant="${c.tenant}"` : `tenant="${c.tenant}",${c.dimension}="${c.name}"`;

function histogram(c: Counters): string {
  const labels = labelsOf(c);
  const name = 'arcus_request_duration_seconds';
  let count = 0;
  let text = '';
  for (const [i, bound] of latencyBounds.entries()) {
    count += c.latency[i]!;
    text += `${name}_bucket{${labels},le="${bound / 1000}"} ${count}\n`;
  }
  count += c.latency[latencyBounds.length]!;
  text += `${name}_bucket{${labels},le="+Inf"} ${count}\n`;
  return `${text}${name}_sum{${labels}} ${c.latency_sum / 1000}\n${name}_count{${labels}} ${count}\n`;
}

async function* lines(all: readonly Counters[], line: (c: Counters) => string): AsyncGenerator<string> {
  for (let from = 0; from < all.length; from += SLICE) {
    yield all
      .slice(from, from + SLICE)
      .map(line)
      .join('');
    await turn();
  }
}
