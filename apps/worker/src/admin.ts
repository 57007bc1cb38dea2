/** What an orchestrator and a monitoring system ask a worker: /health, /ready, /metrics. Not for the world. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ListenAddress } from '@arcus/gateway/kind.ts';
import { formatAddress } from './listeners.ts';

export interface Health {
  readonly status: 'healthy' | 'degraded';
  /** Why it is degraded. */
  readonly reasons: readonly string[];
  readonly worker: string;
  readonly ready: boolean;
  readonly tenants: number;
  readonly refused: number;
  readonly uptime_seconds: number;
}

export interface AdminOptions {
  readonly listen: ListenAddress;
  readonly health: () => Health;
  readonly metrics: () => AsyncIterable<string>;
}

export interface Admin {
  /** `host:port` that it listens on. */
  readonly address: string;
  close(): Promise<void>;
}

export async function startAdmin({ listen, health, metrics }: AdminOptions): Promise<Admin> {
  const json = (res: http.ServerResponse, status: number, body: unknown) => {
    res.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
    res.end(`${JSON.stringify(body)}\n`);
  };
  const server = http.createServer((req, res) => {
    const path = (req.url ?? '/').split('?', 1)[0];
    if (req.method !== 'GET' && req.method !== 'HEAD') return json(res, 405, { error: 'only GET' });
    switch (path) {
      // A worker that serves what it has is alive, whatever else is down.
      case '/health':
        return json(res, 200, health());
      case '/ready': {
        const { ready, worker, tenants } = health();
        return json(res, ready ? 200 : 503, { ready, worker, tenants });
      }
      case '/metrics':
        res.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
        // A scraper that goes away in the middle is nobody's fault.
        pipeline(Readable.from(metrics()), res).catch(() => res.destroy());
        return;
      default:
        return json(res, 404, { error: 'not found', paths: ['/health', '/ready', '/metrics'] });
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE';
      const why = taken ? 'is in use' : `cannot be listened on (${error.message})`;
      reject(new Error(`${formatAddress(listen)} ${why}: ARCUS_ADMIN_LISTEN changes it`, { cause: error }));
    });
    server.listen({ ...listen, exclusive: true }, resolve);
  });
  const { address, port } = server.address() as AddressInfo;
  return {
    address: formatAddress({ host: address, port }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
