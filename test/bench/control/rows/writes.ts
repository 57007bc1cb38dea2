/** How many writes of single resources one api takes, and what one of them puts into etcd. */
import { median } from '../../measure.ts';
import type { Row } from '../../row.ts';
import { sharedWorld, useAllCores } from '../world.ts';
import { Writer } from '../writer.ts';

const CLIENTS = 10;
const SECONDS = 4;
const ROUNDS = 3;

export const writesRow: Row = {
  name: 'writes',
  description: `single-resource writes accepted per second, ${CLIENTS} clients`,
  programs: ['taskset', 'mariadbd', 'etcd', 'redis-server'],
  page: 'control',
  async run(lab) {
    useAllCores();
    const world = await sharedWorld({ tenants: 100, rules: 100 });
    const api = await world.startApi(lab);
    await world.startWorker(lab);
    const writers = Array.from({ length: CLIENTS }, (_, i) => new Writer(api.client, i, world.options.rules));
    const round = async (seconds: number) => {
      const began = performance.now();
      const cpu = (await api.monitor.look()).cpuMs;
      let writes = 0;
      await Promise.all(
        writers.map(async (writer) => {
          while (performance.now() - began < seconds * 1000) {
            await writer.write();
            writes++;
          }
        }),
      );
      const perSecond = writes / ((performance.now() - began) / 1000);
      return { perSecond, cpuMs: ((await api.monitor.look()).cpuMs - cpu) / writes };
    };
    await round(2);
    const rounds: { perSecond: number; cpuMs: number }[] = [];
    for (let i = 0; i < ROUNDS; i++) rounds.push(await round(SECONDS));
    const runs = rounds.map((r) => r.perSecond);
    const cpu = rounds.map((r) => r.cpuMs);
    return [
      {
        ...{ name: 'writes', unit: 'writes per second', arcus: median(runs), peers: {}, ratio: {} },
        ...{ runs: { arcus: runs }, target: {}, floor: { arcus: 200 } },
      },
      {
        ...{ name: 'writes-cpu', unit: 'CPU ms of the api per write', arcus: median(cpu), peers: {}, ratio: {} },
        ...{ runs: { arcus: cpu }, target: {} },
      },
    ];
  },
};
