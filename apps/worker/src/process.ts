/** One of several processes of a worker. It serves; what it has to say goes to the process that started it. */
import { join } from 'node:path';
import { openStoreFromEnv } from '@arcus/control/open.ts';
import type { TenantStatus } from '@arcus/control/release.ts';
import type { ListenAddress } from '@arcus/gateway/kind.ts';
import { Limits } from '@arcus/gateway/limits.ts';
import type { Counters } from '@arcus/gateway/stats.ts';
import pino from 'pino';
import { changedCounters } from './counter-values.ts';
import { openDataPlane, snapshotFolder } from './data-plane.ts';
import { processesOf, readWorkerEnv } from './env.ts';
import { formatAddress, type KeptSocket } from './listeners.ts';
import { ClientShares } from './process-clients.ts';
import type { CounterValues, FromProcess, ToProcess } from './process-messages.ts';
import { Takes } from './process-takes.ts';

const NUMBERS_MS = 500;
const GATHER_MS = 3;

// First of all: who started us may die before we are up, and what it says must find an ear.
type Opened = (code: string | undefined, handle: object | undefined) => void;
const opening = new Map<number, Opened>();
let stop = (_how: { now: boolean; handover: boolean }): void => process.exit(0);
let orphaned = (): void => {};
process.on('message', (message: ToProcess, handle: object | undefined) => {
  switch (message.type) {
    case 'opened':
      opening.get(message.id)?.(message.code, handle);
      break;
    case 'clients':
      shares.hear(message.changes);
      break;
    case 'takes':
      limits.heard(message.taken);
      break;
    case 'lend':
      plane.listeners.lend(message.address, handle ?? null);
      break;
    case 'hold':
      void plane.hold().then(() => tell({ type: 'held' }));
      break;
    case 'resume':
      plane.resume();
      break;
    case 'stop':
      stop(message);
      break;
  }
});
process.on('disconnect', () => {
  orphaned();
  if (stopping === undefined) stop({ now: false, handover: false });
});
if (!process.connected) process.exit(1);
// A terminal sends its signals to all processes; the one in front decides.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

const env = readWorkerEnv(process.env);
const index = process.env.ARCUS_PROCESS!;
const id = env.ARCUS_WORKER_ID!;
const shares = new ClientShares(processesOf(env), (changes) => void tell({ type: 'clients', changes }));
const takes = new Takes((taken) => void tell({ type: 'takes', taken }));
const limits = new Limits(Date.now, {
  connections: shares.of('tenants'),
  took: (tenant, user, perSecond) => takes.took(tenant, user, perSecond),
});
let stopping: Promise<void> | undefined;
const log = pino({ level: env.ARCUS_LOG_LEVEL, base: { process: Number(index) } });
const store = await openStoreFromEnv(env);

/** Resolves when it has left, or cannot: who started us may be gone, and then 'disconnect' ends this process. */
function tell(message: FromProcess): Promise<void> {
  return new Promise((sent) => {
    if (process.connected) process.send!(message, undefined, undefined, () => sent());
    else sent();
  });
}

let asked = 0;
async function open(listen: ListenAddress): Promise<KeptSocket> {
  const address = formatAddress(listen);
  const request = ++asked;
  const handle = await new Promise<object>((resolve, reject) => {
    opening.set(request, (code, handle) => {
      if (handle) resolve(handle);
      // Without a code it was lost on its way: no descriptor was free here.
      else reject(Object.assign(new Error(`no socket for ${address}: ${code}`), { code: code ?? 'EMFILE' }));
    });
    void tell({ type: 'open', id: request, listen });
  }).finally(() => opening.delete(request));
  return { handle, release: () => void tell({ type: 'release', address }) };
}

let gathered = new Map<string, TenantStatus | null>();
const plane = await openDataPlane({
  env,
  id,
  store,
  log,
  group: { open, share: (address) => shares.of(address), limits },
  snapshotDir: join(snapshotFolder(env, id), `process-${index}`),
  onHeard: () => void tell({ type: 'heard' }),
  report: (tenant, status) => {
    if (gathered.size === 0) setTimeout(flushStatuses, GATHER_MS);
    gathered.set(tenant, status);
  },
});

function flushStatuses(): void {
  const statuses = [...gathered];
  gathered = new Map();
  if (statuses.length > 0) void tell({ type: 'statuses', statuses });
}

const sent = new WeakMap<Counters, Float64Array>();
function flushNumbers(): Promise<void> {
  const counters: CounterValues[] = [];
  for (const c of plane.stats.values()) {
    const values = changedCounters(c, sent.get(c));
    if (!values) continue;
    sent.set(c, values);
    counters.push([c.tenant, c.dimension, c.name, values]);
  }
  return tell({ type: 'numbers', counters, counts: plane.counts, problems: plane.problems(), gauges: plane.gauges() });
}
const numbers = setInterval(() => void flushNumbers(), NUMBERS_MS);

async function finish(how: { now: boolean; handover: boolean }): Promise<void> {
  await plane.close(how);
  clearInterval(numbers);
  shares.close();
  takes.close();
  flushStatuses();
  await flushNumbers();
  await store.close();
}
// The snapshot is for the processes of the worker that is started next, while sessions here may still run.
orphaned = () => void plane.hold();
stop = ({ now, handover }) => {
  if (stopping) void plane.close({ now, handover });
  stopping ??= finish({ now, handover }).then(
    () => process.exit(0),
    (err) => {
      log.error({ err }, 'the process did not stop cleanly');
      process.exit(1);
    },
  );
};

await plane.start().then(
  () => {
    flushStatuses();
    void flushNumbers();
    void tell({ type: 'ready' });
  },
  (err) => {
    if (!stopping) throw err;
  },
);
