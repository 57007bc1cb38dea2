/** Who runs what: the store's live workers held against a tenant's newest release. */
import type { TenantStatus, WorkerRecord } from '@arcus/control/release.ts';
import type { ConfigStore } from '@arcus/control/store.ts';
import { z } from 'zod';

export const WorkerState = z
  .object({
    worker: z.string().describe('Id of the worker'),
    state: z
      .enum(['applied', 'refused', 'lagging', 'silent'])
      .describe(
        'applied: runs this version; refused: has said why not; lagging: runs an older one; silent: said nothing',
      ),
    applied: z.int().describe('The version that serves there now, 0 when none does'),
    refused: z
      .object({
        version: z.int(),
        issues: z.array(z.object({ pointer: z.string(), message: z.string(), code: z.string() })),
      })
      .nullable()
      .describe('The newest release that it refused, and why'),
    labels: z.record(z.string(), z.string()),
    reported_at: z.string().describe('When the worker last said how it is, RFC 3339'),
  })
  .meta({ id: 'WorkerState' });
export type WorkerState = z.output<typeof WorkerState>;

export const Summary = z
  .object({
    workers: z.int().describe('Live workers'),
    applied: z.int(),
    refused: z.int(),
    lagging: z.int(),
    silent: z.int(),
    converged: z.boolean().describe('There is at least one live worker, and all of them run this version'),
  })
  .meta({ id: 'ReleaseSummary' });
export type Summary = z.output<typeof Summary>;

export interface Fleet {
  workers: WorkerState[];
  summary: Summary;
}

/** Every live worker's answer to `version` of the tenant. Throws StoreUnavailable. */
export async function fleetOf(store: ConfigStore, tenant_id: string, version: number): Promise<Fleet> {
  const [records, statuses] = await Promise.all([store.listWorkers(), store.listStatus(tenant_id)]);
  const workers = records
    .map((record) => stateOf(record, statuses.get(record.id), version))
    .sort((a, b) => (a.worker < b.worker ? -1 : 1));
  const count = (state: WorkerState['state']) => workers.filter((worker) => worker.state === state).length;
  const summary = {
    workers: workers.length,
    applied: count('applied'),
    refused: count('refused'),
    lagging: count('lagging'),
    silent: count('silent'),
  };
  return { workers, summary: { ...summary, converged: workers.length > 0 && summary.applied === workers.length } };
}

function stateOf(record: WorkerRecord, status: TenantStatus | undefined, version: number): WorkerState {
  const refused = status?.refused ?? null;
  const state =
    status === undefined
      ? 'silent'
      : status.applied >= version
        ? 'applied'
        : refused && refused.version >= version
          ? 'refused'
          : 'lagging';
  return {
    worker: record.id,
    state,
    applied: status?.applied ?? 0,
    refused,
    labels: record.labels,
    reported_at: record.reported_at,
  };
}

/** Two looks at the store are this far apart, ms. */
const EVERY = 20;

/**
 * Waits until every live worker has answered for `version`, at most `timeoutMs`. Answers what is known then: look at
 * the summary. Ends early when `signal` says that nobody listens any more.
 */
export async function waitForAnswers(
  store: ConfigStore,
  tenant_id: string,
  version: number,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Fleet> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const fleet = await fleetOf(store, tenant_id, version);
    const { workers, applied, refused } = fleet.summary;
    if (workers > 0 && applied + refused === workers) return fleet;
    if (performance.now() >= end || signal.aborted) return fleet;
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}
