/** One of several processes of a worker. It serves; what it has to say goes to the process that started it. */
import { join } from 'node:path';
import { openStoreFromEnv } from '@arcus/control/open.ts';
import type { TenantStatus } from '@arcus/control/release.ts';
import type { Counters } from '@arcus/gateway/stats.ts';
import pino from 'pino';
import { countersDiffer, readCounters } from './counter-values.ts';
import { openDataPlane, snapshotFolder } from './data-plane.ts';
import { readWorkerEnv } from './env.ts';
import type { CounterValues, FromProcess, ToProcess } from './process-messages.ts';

const NUMBERS_MS = 500;
const GATHER_MS = 3;

// First of all: who started us may die before we are up.
let stop: ((now: boolean) => void) | undefined;
const claiming = new Map<string, (ours: boolean) => void>();
process.on('message', (message: ToProcess) => {
  if (message.type === 'claimed') claiming.get(message.address)?.(message.ours);
  else if (stop) stop(message.now);
  else process.exit(0);
});
process.on('disconnect', () => (stop ? stop(false) : process.exit(1)));
if (!process.connected) process.exit(1);
// A terminal sends its signals to all processes; the one in front decides.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});

const env = readWorkerEnv(process.env);
const index = process.env.ARCUS_PROCESS!;
const id = env.ARCUS_WORKER_ID!;
const log = pino({ level: env.ARCUS_LOG_LEVEL, base: { process: Number(index) } });
const store = await openStoreFromEnv(env);

/** Resolves when it has left, or cannot: who started us may be gone, and then 'disconnect' ends this process. */
const tell = (message: FromProcess): Promise<void> =>
  new Promise((sent) => {
    if (process.connected) process.send!(message, undefined, undefined, () => sent());
    else sent();
  });

async function claim(address: string): Promise<() => void> {
  const ours = await new Promise<boolean>((answer) => {
    claiming.set(address, answer);
    void tell({ type: 'claim', address });
  });
  claiming.delete(address);
  if (!ours) throw Object.assign(new Error(`${address} belongs to another worker`), { code: 'EADDRINUSE' });
  return () => void tell({ type: 'unclaim', address });
}

let gathered = new Map<string, TenantStatus | null>();
const plane = await openDataPlane({
  env,
  id,
  store,
  log,
  claim,
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
    const values = readCounters(c);
    if (!countersDiffer(values, sent.get(c))) continue;
    sent.set(c, values);
    counters.push([c.tenant, c.dimension, c.name, values]);
  }
  return tell({ type: 'numbers', counters, counts: plane.counts, problems: plane.problems(), gauges: plane.gauges() });
}
const numbers = setInterval(() => void flushNumbers(), NUMBERS_MS);

let stopping: Promise<void> | undefined;
async function finish(): Promise<void> {
  await plane.close();
  clearInterval(numbers);
  flushStatuses();
  await flushNumbers();
  await store.close();
}
stop = (now) => {
  if (now) void plane.close({ now });
  stopping ??= finish().then(
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
