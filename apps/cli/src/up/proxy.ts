import { setTimeout as wait } from 'node:timers/promises';
import { ApiError, ask, path } from '../client.ts';
import { CommandError, NO } from '../command.ts';
import type { Connection } from '../connection.ts';
import type { WorkerState } from '../workers-table.ts';
import { DEMO, type Demo } from './demo.ts';
import { parseAddress, reachable, text } from './settings.ts';

const DEADLINE_MS = 15_000;

/**
 * URL of the demo tenant's proxy with user and password, once the worker serves it; null when the tenant has no such
 * server any more: what it serves counts, not what it holds. Throws CommandError when the worker cannot listen there.
 */
export async function demoProxy(connection: Connection, demo: Demo, worker: string): Promise<string | null> {
  const version = await stable(connection);
  let server = version === null ? null : await serverOf(connection, version);
  if (server === null) return null;
  const state = await settled(connection, worker);
  // In a rollout this worker may run another one.
  if (typeof state === 'object' && state.state === 'applied' && state.applied !== version) {
    server = await serverOf(connection, state.applied);
    if (server === null) return null;
  }
  const { address } = server.listen;
  if (state === 'store away') return urlOf(demo, address);
  if (state?.state === 'refused') {
    const why = state.refused!.issues.map((i) => i.message.replace(/\.$/, '')).join('; ');
    const hint = address === demo.proxy ? ': choose another address with ARCUS_PROXY_LISTEN' : '';
    throw new CommandError(`the proxy of the tenant ${DEMO} cannot listen on ${address} (${why})${hint}`, {
      exitCode: NO,
    });
  }
  if (state?.state !== 'applied') {
    throw new CommandError(`the worker did not take up the tenant ${DEMO} within ${DEADLINE_MS / 1000} s`, {
      exitCode: NO,
    });
  }
  return urlOf(demo, address);
}

const urlOf = ({ user, password }: Demo, address: string): string =>
  `http://${user}:${password}@${text(reachable(parseAddress(address)!))}`;

/** The newest release that is not merely held; null when the tenant is gone. The store may be away: the database knows it. */
async function stable(connection: Connection): Promise<number | null> {
  try {
    // The releases of a tenant outlive it.
    await ask(connection, path('tenants', DEMO));
    const { body } = await ask(connection, `${path('tenants', DEMO, 'releases')}?limit=200`);
    const served = body.items.find(({ state }: { state: string }) => state === 'published' || state === 'pending');
    return served?.version ?? null;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** The tenant's server as that release has it; null when nobody can browse through it. */
async function serverOf(connection: Connection, version: number): Promise<{ listen: { address: string } } | null> {
  const { body } = await ask(connection, path('tenants', DEMO, 'releases', String(version), 'document'));
  const server = body.config.servers.find(({ name }: { name: string }) => name === 'proxy');
  return body.tenant.status === 'active' && server?.enabled && server.type === 'http_proxy' ? server : null;
}

/**
 * What the worker says once it has said something; undefined when it has not in time. While the config store is away
 * nobody can tell, and the worker serves what it had.
 */
async function settled(connection: Connection, worker: string): Promise<WorkerState | 'store away' | undefined> {
  const end = performance.now() + DEADLINE_MS;
  for (;;) {
    const state = await look(connection, worker);
    if (state === 'store away' || state?.state === 'applied' || state?.state === 'refused') return state;
    if (performance.now() >= end) return state;
    await wait(20);
  }
}

async function look(connection: Connection, worker: string): Promise<WorkerState | 'store away' | undefined> {
  try {
    const { body } = await ask(connection, `${path('tenants', DEMO)}/config/status`);
    if (body.store === 'away') return 'store away';
    return (body.workers as WorkerState[]).find((w) => w.worker === worker);
  } catch (error) {
    if (error instanceof ApiError && error.status === 503) return 'store away';
    throw error;
  }
}
