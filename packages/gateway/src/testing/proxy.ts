/** A proxy on a real socket, without a control plane: for tests and measurements of the data path. */
import net from 'node:net';
import { GatewayError } from '../errors.ts';
import type { Auditor, Binding, Escaper, GraphHandle, OpenConnection, Policy, Target, UserGroup } from '../kind.ts';
import { Limits } from '../limits.ts';
import { type HttpProxyServer, httpProxy } from '../servers/http_proxy.ts';
import type { Decision } from '../session.ts';
import { Stats } from '../stats.ts';
import { createTcpServer } from '../tcp/tcp.ts';
import { dial } from '../upstream/dial.ts';
import { poolConfig, tunnelEgress, UpstreamPool } from '../upstream/pool.ts';
import { Wheel } from '../wheel.ts';

export interface TestProxyOptions {
  /** Fields of the http_proxy kind to set. */
  server?: Record<string, unknown>;
  userGroup?: UserGroup;
  auditor?: Auditor;
  policies?: Policy[];
  escaper?: Escaper;
  /** Length of a tick of the wheel, ms: how coarse timeouts are. */
  tickMs?: number;
  port?: number;
}

export interface TestProxy {
  readonly port: number;
  readonly decisions: Decision[];
  readonly stats: Stats;
  readonly binding: Binding & { open: Set<OpenConnection> };
  /** Sessions that hold the graph now. */
  sessions(): number;
  /** Idle upstream connections. */
  pooled(): number;
  close(): Promise<void>;
}

/** An escaper without a guard: goes where the target says, loopback included. */
export function openEscaper(wheel: Wheel): Escaper & { pool: UpstreamPool } {
  const pool = new UpstreamPool(poolConfig.parse({}), wheel);
  return {
    name: 'open',
    type: 'direct',
    pool,
    connect(target: Target, _session, purpose, fresh) {
      const { key } = target;
      if (purpose === 'forward' && !fresh) {
        const idle = pool.take(key);
        if (idle) return idle;
      }
      const address = target.host === 'localhost' ? '127.0.0.1' : target.host;
      if (!net.isIP(address)) throw new GatewayError('dns_failed', `no address for ${target.host}`);
      return dial([address], target.port, { timeoutMs: 60_000 }).then((stream) =>
        purpose === 'tunnel'
          ? tunnelEgress(stream, 'open', key)
          : pool.egress(stream, key, { escaper: 'open', form: 'origin', headers: '', peer: key }),
      );
    },
    close: () => pool.close(),
  };
}

export async function startTestProxy(options: TestProxyOptions = {}): Promise<TestProxy> {
  const wheel = new Wheel(options.tickMs ?? 50);
  const stats = new Stats();
  const decisions: Decision[] = [];
  const escaper = options.escaper ?? openEscaper(wheel);
  let sessions = 0;
  const graph: GraphHandle = {
    tenant: 'test',
    version: 1,
    status: 'active',
    limits: {},
    retain: () => void sessions++,
    release: () => void sessions--,
  };
  const live: Record<string, unknown> = {
    escapers: escaper,
    user_groups: options.userGroup,
    auditors: options.auditor,
  };
  const config = httpProxy.config.parse({
    name: 'web',
    type: 'http_proxy',
    listen: { address: '127.0.0.1:1' },
    escaper: 'open',
    ...(options.userGroup ? { user_group: 'users' } : {}),
    ...(options.auditor ? { auditor: 'auditor' } : {}),
    ...options.server,
  });
  const server = httpProxy.create(config as never, {
    tenant: 'test',
    services: {
      ...{ now: Date.now, wheel, stats, limits: new Limits(Date.now) },
      ...{ record: (d: Decision) => void decisions.push(d), worker: 'arcus-test' },
    },
    get: (family) => live[family] as never,
    policies: options.policies ?? [],
    previous: () => undefined,
    unseal: (value) => value,
  }) as HttpProxyServer;
  server.graph = graph;
  const binding: Binding = { address: '', server, open: new Set() };
  const listener = createTcpServer((stream) => server.serve(stream, binding));
  await new Promise<void>((resolve) => listener.listen(options.port ?? 0, '127.0.0.1', resolve));
  return {
    port: (listener.address() as net.AddressInfo).port,
    decisions,
    stats,
    binding,
    sessions: () => sessions,
    pooled: () => ('pool' in escaper ? (escaper.pool as UpstreamPool).size : 0),
    async close() {
      const closed = new Promise((resolve) => listener.close(resolve));
      for (const connection of binding.open) connection.destroy();
      escaper.close?.();
      wheel.close();
      await closed;
    },
  };
}
