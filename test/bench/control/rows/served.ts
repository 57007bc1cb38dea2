/** From the answer of a write to the first request that the new release decides. */
import { setTimeout as wait } from 'node:timers/promises';
import { percentile } from '../../measure.ts';
import type { Result, Row } from '../../row.ts';
import { Marker } from '../marker.ts';
import { addressOf, PORT } from '../tenants.ts';
import { sharedWorld, useAllCores, type World } from '../world.ts';
import { Writer } from '../writer.ts';

const programs = ['taskset', 'mariadbd', 'etcd', 'redis-server'] as const;

/** Each tenant of `tenants` in turn: a write, and then its proxy is asked until the release shows. */
async function served(world: World, client: import('../api-client.ts').ApiClient, tenants: number[], rounds: number) {
  const clients = await Promise.all(
    tenants.map(async (index) => ({
      writer: new Writer(client, index, world.options.rules),
      marker: await Marker.open(addressOf(index), PORT),
    })),
  );
  const ms: number[] = [];
  const writeMs: number[] = [];
  for (let round = -2; round < rounds; round++) {
    for (const { writer, marker } of clients) {
      const began = performance.now();
      const { at } = await writer.write();
      const seen = await marker.waitFor(writer.mark);
      // The first rounds warm everything up.
      if (round >= 0) {
        ms.push(seen - at);
        writeMs.push(at - began);
      }
    }
  }
  for (const { marker } of clients) marker.close();
  return { ms: ms.sort((a, b) => a - b), writeMs: writeMs.sort((a, b) => a - b) };
}

const result = (name: string, values: readonly number[], p: number, limit: number): Result => ({
  name,
  unit: `ms, p${p * 100} of ${values.length}`,
  arcus: percentile(values, p),
  peers: {},
  ratio: {},
  runs: { arcus: [values[0]!, percentile(values, p), values.at(-1)!] },
  target: limit > 0 ? { arcus: limit } : {},
});

export const served100Row: Row = {
  name: 'served-100',
  description: '100 tenants: write answered → the worker serves it',
  programs,
  page: 'control',
  async run(lab) {
    useAllCores();
    const world = await sharedWorld({ tenants: 100, rules: 100 });
    const api = await world.startApi(lab);
    await world.startWorker(lab);
    const { ms, writeMs } = await served(world, api.client, [...Array(100).keys()], 5);
    return [
      result('served-100-p50', ms, 0.5, 15),
      result('served-100-p99', ms, 0.99, 50),
      result('served-100-write-p50', writeMs, 0.5, 0),
      result('served-100-write-p99', writeMs, 0.99, 0),
    ];
  },
};

/** Releases per second of other tenants, and how many tenants take turns. */
const OTHERS_PER_SECOND = 50;
const OTHERS = 1000;
const WRITERS = 20;

export const served10kRow: Row = {
  name: 'served-10k',
  description: `10,000 tenants and ${OTHERS_PER_SECOND} releases/s of others: write answered → the worker serves it`,
  programs,
  page: 'control',
  async run(lab) {
    useAllCores();
    const world = await sharedWorld({ tenants: 10_000, rules: 100 });
    const api = await world.startApi(lab);
    await world.startWorker(lab);
    let stop = false;
    let done = 0;
    const began = performance.now();
    let due = 0;
    const others = Array.from({ length: OTHERS }, (_, i) => new Writer(api.client, 5000 + i, world.options.rules));
    const free = [...others];
    const work = async () => {
      while (!stop) {
        const at = began + (due++ * 1000) / OTHERS_PER_SECOND;
        const early = at - performance.now();
        if (early > 0) await wait(early);
        const writer = free.shift()!;
        await writer.write();
        free.push(writer);
        done++;
      }
    };
    const load = Promise.all(Array.from({ length: WRITERS }, work));
    await wait(3000);
    const [from, doneBefore] = [performance.now(), done];
    const { ms } = await served(
      world,
      api.client,
      Array.from({ length: 50 }, (_, i) => i * 90),
      10,
    );
    const rate = (done - doneBefore) / ((performance.now() - from) / 1000);
    stop = true;
    await load;
    return [
      {
        ...result('served-10k-p99', ms, 0.99, 100),
        unit: `ms, p99 of ${ms.length}, others ${rate.toFixed(1)} releases/s`,
      },
      result('served-10k-p50', ms, 0.5, 0),
    ];
  },
};
