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
 * server any more. Throws CommandError when the worker cannot listen there.
 */
export async function demoProxy(connection: Connection, demo: Demo, worker: string): Promise<string | null> {
  const server = await serverOf(connection);
  if (server === null) return null;
  const { address } = server.listen;
  const state = await settled(connection, worker);
  if (state?.state === 'refused') {
    const why = state.refused!.issues.map((i) => i.message).join('; ');
    const hint =
      address === demo.proxy ? ': choose another address with ARCUS_PROXY_LISTEN, such as 127.0.0.1:17800' : '';
    throw new CommandError(`the proxy of the tenant ${DEMO} cannot listen on ${address} (${why})${hint}`, {
      exitCode: NO,
    });
  }
  if (state?.state !== 'applied') {
    throw new CommandError(`the worker did not take up the tenant ${DEMO} within ${DEADLINE_MS / 1000} s`, {
      exitCode: NO,
    });
  }
  return `http://${demo.user}:${demo.password}@${text(reachable(parseAddress(address)!))}`;
}

async function serverOf(connection: Connection): Promise<{ listen: { address: string } } | null> {
  try {
    const { body: tenant } = await ask(connection, path('tenants', DEMO));
    const { body } = await ask(connection, path('tenants', DEMO, 'servers', 'proxy'));
    return tenant.status === 'active' && body.enabled && body.type === 'http_proxy' ? body : null;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** What the worker says once it has said something; undefined when it has not in time. */
async function settled(connection: Connection, worker: string): Promise<WorkerState | undefined> {
  const end = performance.now() + DEADLINE_MS;
  for (;;) {
    const { body } = await ask(connection, `${path('tenants', DEMO)}/config/status`);
    const state = (body.workers as WorkerState[]).find((w) => w.worker === worker);
    if (state?.state === 'applied' || state?.state === 'refused' || performance.now() >= end) return state;
    await wait(20);
  }
}
