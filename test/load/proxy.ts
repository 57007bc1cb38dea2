/** The proxy under load, a process of its own: its memory is nobody else's. Told and asked over IPC. */
import net from 'node:net';
import type { Escaper } from '@arcus/gateway/kind.ts';
import { startTestProxy } from '@arcus/gateway/testing/proxy.ts';
import { dial } from '@arcus/gateway/upstream/dial.ts';
import { poolConfig, tunnelEgress, UpstreamPool } from '@arcus/gateway/upstream/pool.ts';
import { Wheel } from '@arcus/gateway/wheel.ts';

export interface Sum {
  sessions: number;
  bytes_in: number;
  bytes_out: number;
}

/** What the parent sees of the proxy. */
export interface State {
  /** Sums over the decisions, for each target. */
  targets: Record<string, Sum>;
  /** Counters of the server. */
  counted: Sum;
  connections: number;
  active: number;
  /** Sessions and connections that have not ended. */
  sessions: number;
  open: number;
  pooled: number;
  rss: number;
}

const site = Number(process.argv[2]);
const wheel = new Wheel(50);
const pool = new UpstreamPool(poolConfig.parse({}), wheel);
const escaper: Escaper = {
  name: 'open',
  type: 'direct',
  connect(target, _session, purpose, fresh) {
    const key = `${target.host}:${target.port}`;
    const idle = purpose === 'forward' && !fresh ? pool.take(key) : null;
    if (idle) return idle;
    return dial(['127.0.0.1'], site, { timeoutMs: 60_000 }).then((stream) =>
      purpose === 'tunnel'
        ? tunnelEgress(stream, 'open', key)
        : pool.egress(stream, key, { escaper: 'open', form: 'origin', headers: '', peer: key }),
    );
  },
};

const proxy = await startTestProxy({ escaper, server: { limits: { body_idle_ms: 20_000 } } });
const targets: Record<string, Sum> = {};
const drain = () => {
  for (const { target, bytes_in, bytes_out } of proxy.decisions.splice(0)) {
    const sum = targets[target] ?? { sessions: 0, bytes_in: 0, bytes_out: 0 };
    targets[target] = sum;
    sum.sessions++;
    sum.bytes_in += bytes_in;
    sum.bytes_out += bytes_out;
  }
};
setInterval(drain, 100);

process.on('message', (ask: 'state' | 'rest') => {
  drain();
  // Memory is measured at rest: what is garbage is nobody's leak.
  if (ask === 'rest') globalThis.gc?.();
  const server = [...proxy.stats.values()].find((counters) => counters.dimension === 'server')!;
  process.send!({
    targets,
    counted: { sessions: server.requests, bytes_in: server.bytes_in, bytes_out: server.bytes_out },
    connections: server.connections,
    active: server.active,
    sessions: proxy.sessions(),
    open: proxy.binding.open.size,
    pooled: pool.size,
    rss: process.memoryUsage.rss(),
  } satisfies State);
});
process.on('disconnect', () => process.exit(0));
net.setDefaultAutoSelectFamily(false);
process.send!({ port: proxy.port });
