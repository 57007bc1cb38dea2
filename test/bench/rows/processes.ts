/** Does a request cost more when two processes share the work? Both may use both cores, next to the load. */
import { startArcus } from '../arcus.ts';
import type { ProxyUnderTest } from '../lab.ts';
import { cpuSecondsOf, processTree } from '../measure.ts';
import { startOrigin } from '../origin.ts';
import { checkForward } from '../probe.ts';
import { compare, type Row } from '../row.ts';
import { type WrkLoad, wrk } from '../wrk.ts';
import { CONNECTIONS, cpuPerRequest } from './forward.ts';

const ONE = '1 process';
const TWO = '2 processes';

/** Throws unless at least `count` processes of the worker had a fair part of the work. */
function checkShared(proxy: ProxyUnderTest, count: number): void {
  const times = processTree(proxy.pid).map(cpuSecondsOf);
  const most = Math.max(...times);
  const busy = times.filter((time) => time > most / 5).length;
  if (busy < count) throw new Error(`${proxy.name}: ${busy} took part in the work: ${times.join(', ')} s of CPU`);
}

export const processesRow: Row = {
  name: 'processes',
  description: 'one process → two on two cores: CPU per request',
  programs: ['taskset', 'nginx', 'wrk', 'redis-server'],
  async run(lab) {
    const origin = await startOrigin(lab);
    const url = `http://${origin.host}:${origin.port}/1k`;
    const proxies = [
      await startArcus(lab, { name: TWO, processes: 2, cores: 'both' }),
      await startArcus(lab, { name: ONE, processes: 1, cores: 'both' }),
    ];
    for (const proxy of proxies) await checkForward(proxy, url, null);
    const load: WrkLoad = { method: 'GET', url, bodyBytes: 0, connections: CONNECTIONS };
    const result = await compare({
      ...{ name: 'processes', unit: 'CPU µs per request', target: { [ONE]: 1.1 }, proxies, rounds: 11 },
      warm: (proxy) => wrk(proxy, load, proxy.warmSeconds * 2),
      measure: (proxy) => cpuPerRequest(proxy, load, 2),
    });
    checkShared(proxies[0]!, 2);
    return [result];
  },
};
