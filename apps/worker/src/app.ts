/** The composition root of a worker: its front door, and behind it one process or several. */
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { makeFolder } from '@arcus/control/folder.ts';
import { WORKER_ID } from '@arcus/control/keys.ts';
import { openStoreFromEnv } from '@arcus/control/open.ts';
import type { TenantStatus } from '@arcus/control/release.ts';
import { loadVerifier } from '@arcus/control/sign.ts';
import type { ConfigStore } from '@arcus/control/store.ts';
import pino, { type Logger } from 'pino';
import { type DataPlane, openDataPlane, snapshotFolder } from './data-plane.ts';
import { idFromHost, processesOf, type WorkerEnv } from './env.ts';
import { type Front, startFront } from './front.ts';
import { ProcessGroup } from './process-group.ts';

/** What an embedding process may lend; what is lent is not closed here. */
export interface WorkerDeps {
  readonly store?: ConfigStore;
  readonly log?: Logger;
}

export interface Worker {
  readonly id: string;
  /** `host:port` of /health, /ready and /metrics. */
  readonly admin: string;
  /** Serves: what the snapshot had, or else the first list of the store, is applied. */
  readonly ready: Promise<void>;
  /** Lets sessions end until the drain time is over; `now` cuts them. A second call with `now` cuts the first short. */
  close(options?: { now?: boolean }): Promise<void>;
  /**
   * Of a worker of several processes: replaces them one after another; no connection is refused and no request fails.
   * Never fails.
   */
  restart?(): Promise<void>;
}

type Hooks = { report: (tenant: string, status: TenantStatus | null) => void; onHeard: () => void };
interface Parts {
  readonly env: WorkerEnv;
  readonly id: string;
  readonly store: ConfigStore;
  readonly log: Logger;
}

/**
 * Starts a worker in this process. Resolves when its admin address answers; fails when that or its data folder cannot
 * be had.
 */
export function startWorker(env: WorkerEnv, deps: WorkerDeps = {}): Promise<Worker> {
  return compose(env, deps, 1, (parts, hooks) =>
    openDataPlane({ ...parts, ...hooks, snapshotDir: snapshotFolder(env, parts.id) }),
  );
}

/** Starts a worker of several processes, this one in front: as `startWorker`. */
export async function startSupervised(env: WorkerEnv, deps: WorkerDeps = {}): Promise<Worker> {
  // Each process reads them itself; a fault is told once, here.
  await loadVerifier(env);
  const processes = processesOf(env);
  let group: ProcessGroup | undefined;
  const worker = await compose(env, deps, processes, async (parts, hooks) => {
    group = new ProcessGroup({ ...parts, ...hooks, processes });
    return group;
  });
  return { ...worker, restart: async () => group?.restart() };
}

type Behind = Pick<DataPlane, 'start' | 'close' | keyof import('./data-plane.ts').Plane>;

async function compose(
  env: WorkerEnv,
  deps: WorkerDeps,
  processes: number,
  open: (parts: Parts, hooks: Hooks) => Promise<Behind>,
): Promise<Worker> {
  const log = deps.log ?? pino({ level: env.ARCUS_LOG_LEVEL, base: null });
  const id = env.ARCUS_WORKER_ID ?? (await keptId(join(resolve(env.ARCUS_DATA), 'worker')));
  const store = deps.store ?? (await openStoreFromEnv(env));
  const parts = { env, id, store, log };
  const release = async () => {
    if (!deps.store) await store.close();
  };

  let plane: Behind | undefined;
  let front: Front;
  try {
    plane = await open(parts, {
      report: (tenant, status) => front.report(tenant, status),
      onHeard: () => front.heard(),
    });
    front = await startFront({ ...parts, plane, processes });
  } catch (error) {
    await plane?.close({ now: true });
    await release();
    throw error;
  }
  const behind = plane;
  const ready = behind.start().then(() => {
    log.info({ worker: id, admin: front.admin, ...behind.counts }, 'worker is ready');
  });
  // Who does not wait for it is told by /ready.
  ready.catch(() => {});

  let closed: Promise<void> | undefined;
  async function shut(now: boolean): Promise<void> {
    const drained = behind.close({ now });
    await front.leave();
    await drained;
    await front.close();
    await release();
    log.info({ worker: id }, 'worker stopped');
  }
  return {
    id,
    admin: front.admin,
    ready,
    close({ now = false } = {}) {
      if (closed && now) void behind.close({ now });
      closed ??= shut(now);
      return closed;
    },
  };
}

/** The id that this folder's worker was given the first time. */
async function keptId(folder: string): Promise<string> {
  const file = join(folder, 'id');
  const kept = await readFile(file, 'utf8').then(
    (text) => text.trim(),
    () => '',
  );
  if (WORKER_ID.test(kept)) return kept;
  const id = idFromHost(randomBytes(3).toString('hex'));
  makeFolder(folder, 0o700);
  await writeFile(file, `${id}\n`);
  return id;
}
