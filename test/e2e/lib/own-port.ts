/**
 * Preloaded into a worker process (NODE_OPTIONS=--import): gives it a machine of its own as far as one address goes. Who
 * listens on port E2E_TENANT_PORT listens on E2E_OWN_PORT instead, so that several workers of one machine can run the
 * same tenant.
 */
import net from 'node:net';

const { E2E_TENANT_PORT, E2E_OWN_PORT } = process.env;
const listen = net.Server.prototype.listen as (this: net.Server, ...args: unknown[]) => net.Server;

net.Server.prototype.listen = function own(this: net.Server, where: unknown, ...rest: unknown[]) {
  const address = where as { port?: number } | null;
  const moved = address?.port === Number(E2E_TENANT_PORT) ? { ...address, port: Number(E2E_OWN_PORT) } : where;
  return listen.call(this, moved, ...rest);
} as typeof net.Server.prototype.listen;
