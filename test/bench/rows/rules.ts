/** Does a longer policy make a request dearer? The same load on two workers that differ in nothing else. */
import { startArcus } from '../arcus.ts';
import { blockedHosts } from '../duties.ts';
import { startOrigin } from '../origin.ts';
import { checkForward } from '../probe.ts';
import { compare, type Row } from '../row.ts';
import { type WrkLoad, wrk } from '../wrk.ts';
import { CONNECTIONS, cpuPerRequest } from './forward.ts';

const FEW = 100;
const MANY = 100_000;

export const rulesRow: Row = {
  name: 'rules',
  description: `rules in the policy ${FEW} → ${MANY}: CPU per request`,
  programs: ['taskset', 'nginx', 'wrk', 'redis-server'],
  async run(lab) {
    const origin = await startOrigin(lab);
    const url = `http://${origin.host}:${origin.port}/1k`;
    const few = `${FEW} rules`;
    const proxies = [
      await startArcus(lab, { name: `${MANY} rules`, rules: MANY }),
      await startArcus(lab, { name: few, rules: FEW }),
    ];
    for (const [i, count] of [MANY, FEW].entries()) {
      await checkForward(proxies[i]!, url, blockedHosts(count).at(-1)!.host);
    }
    const load: WrkLoad = { method: 'GET', url, bodyBytes: 0, connections: CONNECTIONS };
    return [
      await compare({
        ...{ name: 'rules', unit: 'CPU µs per request', target: { [few]: 1.1 }, proxies, rounds: 11 },
        warm: (proxy) => wrk(proxy, load, proxy.warmSeconds),
        measure: (proxy) => cpuPerRequest(proxy, load, 2),
      }),
    ];
  },
};
