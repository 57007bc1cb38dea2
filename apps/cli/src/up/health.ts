import { once } from 'node:events';
import { createServer } from 'node:http';
import type { RunningApi } from '@arcus/api/start.ts';
import type { Address } from './settings.ts';

/** Where the management API says how it is. */
export const HEALTH_PATH = '/api/v1/health';

/**
 * The API's health address and nothing else, on a port of its own: what the demo tenant may reach of this machine. The
 * egress guard knows addresses and ports, not paths.
 */
export async function serveHealth({ app }: Pick<RunningApi, 'app'>, { host, port }: Address): Promise<() => void> {
  const server = createServer(async (request, response) => {
    if (request.method !== 'GET' || request.url !== HEALTH_PATH) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end(`Only GET ${HEALTH_PATH} is here\n`);
      return;
    }
    try {
      const { statusCode, headers, rawPayload } = await app.http.inject(HEALTH_PATH);
      const type = String(headers['content-type']);
      response.writeHead(statusCode, { 'content-type': type, 'cache-control': 'no-store' }).end(rawPayload);
    } catch {
      // The API stops.
      response.writeHead(503).end();
    }
  });
  server.listen(port, host);
  await once(server, 'listening');
  return () => {
    server.close();
    server.closeAllConnections();
  };
}
