/** Rows about 10,000 tenants on one worker: how it boots, what it keeps in memory, what one small change costs. */
import { setTimeout as wait } from 'node:timers/promises';
import { until } from '@arcus/testkit/until.ts';
import type { Lab } from '../../lab.ts';
import { median } from '../../measure.ts';
import type { Result, Row } from '../../row.ts';
import { Marker } from '../marker.ts';
import type { Look } from '../monitor.ts';
import { addressOf, PORT } from '../tenants.ts';
import { sharedWorld, useAllCores, type Worker, type World } from '../world.ts';
import { Writer } from '../writer.ts';

const MANY = { tenants: 10_000, rules: 100 };
const FEW = { tenants: 10, rules: 100 };
const MIB = 1024 * 1024;
/** Times that a worker boots for one figure. */
const BOOTS = 3;
const programs = ['taskset', 'mariadbd', 'etcd', 'redis-server'] as const;
/** The page's other tables are about the data path. */
const page = 'control';

const value = (name: string, unit: string, runs: number[], limit?: number): Result => ({
  ...{ name, unit, arcus: median(runs), peers: {}, ratio: {}, runs: { arcus: runs } },
  target: limit === undefined ? {} : { arcus: limit },
});

/** Until everything is on the worker's disk: it then has nothing left to do. */
async function settled(worker: Worker): Promise<void> {
  let last = -1;
  await until(
    async () => {
      await wait(500);
      const { cpuMs } = await worker.monitor.look();
      const quiet = cpuMs - last < 60;
      last = cpuMs;
      return quiet;
    },
    { deadline: 180_000, what: 'the worker has nothing to do' },
  );
}

/** A data folder with the snapshot of all tenants, and what the first boot was like. */
async function firstBoot(world: World, lab: Lab): Promise<{ data: string; worker: Worker }> {
  const data = lab.path('worker');
  const worker = await world.startWorker(lab, { data });
  return { data, worker };
}

export const bootEtcdRow: Row = {
  ...{ name: 'boot-etcd', description: `boot of a worker with ${MANY.tenants} tenants from etcd`, programs, page },
  async run(lab) {
    useAllCores();
    const world = await sharedWorld(MANY);
    const seconds: number[] = [];
    const cpu: number[] = [];
    for (let i = 0; i < BOOTS; i++) {
      const worker = await world.startWorker(lab, { data: lab.path(`worker-${i}`) });
      seconds.push(worker.bootMs / 1000);
      cpu.push((await worker.monitor.look()).cpuMs / 1000);
      await worker.stop('SIGKILL');
    }
    return [value('boot-etcd', 's', seconds, 15), value('boot-etcd-cpu', 'CPU s', cpu)];
  },
};

export const bootSnapshotRow: Row = {
  ...{ name: 'boot-snapshot', description: `boot with ${MANY.tenants} tenants from the snapshot`, programs, page },
  async run(lab) {
    useAllCores();
    const world = await sharedWorld(MANY);
    const { data, worker } = await firstBoot(world, lab);
    await settled(worker);
    await worker.stop();
    const seconds: number[] = [];
    const cpu: number[] = [];
    for (let i = 0; i < BOOTS; i++) {
      // The store is away: nothing but the snapshot can have made it ready.
      const again = await world.startWorker(lab, { data, env: { ARCUS_STORE_URL: 'etcd://127.0.0.1:9' } });
      seconds.push(again.bootMs / 1000);
      cpu.push((await again.monitor.look()).cpuMs / 1000);
      await again.stop('SIGKILL');
    }
    return [value('boot-snapshot', 's', seconds, 5), value('boot-snapshot-cpu', 'CPU s', cpu)];
  },
};

export const loopBlockRow: Row = {
  ...{ name: 'loop-block', description: 'longest block of the event loop: boot, then 1,000 releases', programs, page },
  async run(lab) {
    useAllCores();
    const world = await sharedWorld(MANY);
    const api = await world.startApi(lab);
    const results: Result[] = [];
    const note = (what: string, looks: readonly Look[]) => {
      const [cpu, wall] = [looks.map((look) => look.blockCpuMs), looks.map((look) => look.blockWallMs)];
      results.push(value(`loop-block-${what}`, 'CPU ms of the longest turn', cpu, 10));
      results.push(value(`loop-block-${what}-wall`, 'ms', wall));
    };
    /** Each boot but the last one, which goes on. */
    const boots = async (what: string, folder: (i: number) => string): Promise<Worker> => {
      const looks: Look[] = [];
      for (let i = 0; ; i++) {
        const worker = await world.startWorker(lab, { data: folder(i) });
        looks.push(await worker.monitor.look());
        if (looks.length < BOOTS) await worker.stop('SIGKILL');
        else {
          note(what, looks);
          return worker;
        }
      }
    };
    const worker = await boots('boot-etcd', (i) => lab.path(`worker-${i}`));
    await settled(worker);
    await worker.monitor.look();
    await releases(world, api.client, 1000, 10);
    note('releases', [await worker.monitor.look()]);
    await settled(worker);
    await worker.stop();
    await boots('boot-snapshot', () => lab.path(`worker-${BOOTS - 1}`));
    return results;
  },
};

/** `count` releases of as many tenants as there are writers times 50, as fast as they are taken. */
async function releases(world: World, client: import('../api-client.ts').ApiClient, count: number, clients: number) {
  const writers = Array.from({ length: Math.min(count, world.options.tenants) }, (_, i) => {
    return new Writer(client, i, world.options.rules);
  });
  let next = 0;
  const work = async () => {
    while (next < count) {
      const turn = next++;
      const writer = writers[turn % writers.length]!;
      await writer.write();
    }
  };
  await Promise.all(Array.from({ length: clients }, work));
  const last = writers[(count - 1) % writers.length]!;
  const marker = await Marker.open(addressOf(last.index), PORT);
  await marker.waitFor(last.mark);
  marker.close();
}

export const memoryRow: Row = {
  ...{ name: 'memory', description: `memory of a worker with ${MANY.tenants} tenants; after as many releases` },
  ...{ programs, page },
  async run(lab) {
    useAllCores();
    const world = await sharedWorld(MANY);
    const api = await world.startApi(lab);
    const { data, worker: first } = await firstBoot(world, lab);
    const results: Result[] = [];
    await settled(first);
    results.push(value('memory-boot-etcd', 'MiB', [(await first.monitor.look()).rssBytes / MIB], 700));
    await first.stop();
    const worker = await world.startWorker(lab, { data });
    await settled(worker);
    const look = async () => (await worker.monitor.look()).rssBytes / MIB;
    const live = async () => {
      const { heapBytes, externalBytes } = await worker.monitor.look({ gc: true });
      return (heapBytes + externalBytes) / MIB;
    };
    const before = await look();
    const liveBefore = await live();
    results.push(value('memory', 'MiB', [before], 700), value('memory-live', 'MiB of it reachable', [liveBefore]));
    await releases(world, api.client, 10_000, 10);
    await settled(worker);
    const after = await look();
    const liveAfter = await live();
    results.push(value('memory-after', '% more after 10,000 releases', [(after / before - 1) * 100], 5));
    results.push(value('memory-live-after', '% more reachable', [(liveAfter / liveBefore - 1) * 100], 5));
    return results;
  },
};

/** CPU of api and worker for one change, ms: writes paced so that none waits for another. */
async function costOf(world: World, lab: Lab): Promise<{ api: number[]; worker: number[] }> {
  const api = await world.startApi(lab);
  const worker = await world.startWorker(lab);
  await settled(worker);
  const writer = new Writer(api.client, 3, world.options.rules);
  const marker = await Marker.open(addressOf(3), PORT);
  const change = async () => {
    await writer.write();
    // Asking costs, too: the same number of times for few and for many.
    await wait(40);
    if ((await marker.ask()) !== writer.mark) await marker.waitFor(writer.mark);
  };
  for (let i = 0; i < 200; i++) await change();
  const costs = { api: [] as number[], worker: [] as number[] };
  for (let round = 0; round < 5; round++) {
    const [a, w] = [(await api.monitor.look()).cpuMs, (await worker.monitor.look()).cpuMs];
    const began = performance.now();
    for (let i = 0; i < 50; i++) await change();
    const busy = { api: (await api.monitor.look()).cpuMs - a, worker: (await worker.monitor.look()).cpuMs - w };
    const span = performance.now() - began;
    // What both do anyway, changes or not.
    const [a0, w0] = [(await api.monitor.look()).cpuMs, (await worker.monitor.look()).cpuMs];
    await wait(span);
    const idle = { api: (await api.monitor.look()).cpuMs - a0, worker: (await worker.monitor.look()).cpuMs - w0 };
    costs.api.push((busy.api - idle.api) / 50);
    costs.worker.push((busy.worker - idle.worker) / 50);
  }
  marker.close();
  return costs;
}

export const changeCostRow: Row = {
  ...{ name: 'change-cost', description: `CPU of one rule's change, ${FEW.tenants} → ${MANY.tenants} tenants loaded` },
  ...{ programs, page },
  async run(lab) {
    useAllCores();
    const costs: { api: number[]; worker: number[] }[] = [];
    for (const size of [MANY, FEW]) {
      const own = lab.nested();
      costs.push(await costOf(await sharedWorld(size), own));
      await own.close();
    }
    const [many, few] = costs as [(typeof costs)[0], (typeof costs)[0]];
    return (['api', 'worker'] as const).map((of) => ({
      ...{ name: `change-cost-${of}`, unit: 'CPU ms per change', arcus: median(many[of]) },
      peers: { '10 tenants': median(few[of]) },
      ratio: { '10 tenants': median(many[of]) / median(few[of]) },
      runs: { '10,000 tenants': many[of], '10 tenants': few[of] },
      target: { '10 tenants': 1.2 },
    }));
  },
};
