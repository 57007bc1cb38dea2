/** Forward requests on 64 keep-alive connections: CPU of the proxy per request. */
import { startArcus } from '../arcus.ts';
import { blockedHosts } from '../duties.ts';
import type { Lab, ProxyUnderTest } from '../lab.ts';
import { cpuSeconds } from '../measure.ts';
import { startHaproxy } from '../neighbours/haproxy.ts';
import { startNodeFloor } from '../neighbours/node-floor.ts';
import { startProxyChain } from '../neighbours/proxy-chain.ts';
import { startSquid } from '../neighbours/squid.ts';
import { POST_BYTES, startOrigin } from '../origin.ts';
import { checkForward } from '../probe.ts';
import { compare, type Row } from '../row.ts';
import { type WrkLoad, wrk } from '../wrk.ts';

export const CONNECTIONS = 64;
const SECONDS = 2;

export const forwardPrograms = [
  ...(['taskset', 'nginx', 'wrk', 'redis-server', 'haproxy', 'squid', 'htpasswd'] as const),
  '/usr/lib/squid/basic_ncsa_auth',
] as const;

/** CPU microseconds per request while `load` runs. */
export async function cpuPerRequest(proxy: ProxyUnderTest, load: WrkLoad, seconds: number): Promise<number> {
  const before = cpuSeconds(proxy.pid);
  const requests = await wrk(proxy, load, seconds);
  return ((cpuSeconds(proxy.pid) - before) / requests) * 1e6;
}

interface Shape {
  name: string;
  what: string;
  path: string;
  bodyBytes?: number;
  target?: Record<string, number>;
  varied?: boolean;
  /** proxy-chain too, and what no proxy in Node can be faster than. */
  others?: boolean;
}

const forward = ({ name, what, path, bodyBytes = 0, target = {}, varied = false, others = false }: Shape): Row => ({
  name,
  description: `forward, keep-alive, ${CONNECTIONS} connections, ${what}: CPU per request`,
  programs: forwardPrograms,
  async run(lab: Lab) {
    const origin = await startOrigin(lab);
    const url = `http://${origin.host}:${origin.port}${path}`;
    const proxies = [await startArcus(lab), await startHaproxy(lab, 'http', origin.port), await startSquid(lab)];
    if (others) proxies.push(await startNodeFloor(lab, origin.port), await startProxyChain(lab));
    const blocked = blockedHosts(1)[0]!.host;
    const plain = bodyBytes > 0 ? `http://${origin.host}:${origin.port}/1k` : url;
    for (const proxy of proxies) {
      await checkForward(proxy, plain, proxy.name === 'arcus' || proxy.name === 'squid' ? blocked : null);
    }
    const load: WrkLoad = { method: bodyBytes > 0 ? 'POST' : 'GET', url, bodyBytes, connections: CONNECTIONS, varied };
    return [
      await compare({
        ...{ name, unit: 'CPU µs per request', target, proxies, rounds: others ? 5 : 7 },
        warm: (proxy) => wrk(proxy, load, proxy.warmSeconds),
        measure: (proxy) => cpuPerRequest(proxy, load, SECONDS),
      }),
    ];
  },
});

export const forwardRows: readonly Row[] = [
  forward({
    ...{ name: 'forward-1k', what: '1 KiB', path: '/1k' },
    ...{ target: { haproxy: 1.25, squid: 0.45 }, others: true },
  }),
  forward({
    name: 'forward-varied',
    what: '1 KiB, no request and no answer like another',
    path: '/varied',
    varied: true,
  }),
  forward({ name: 'forward-16k', what: '16 KiB', path: '/16k', target: { haproxy: 1.25 } }),
  forward({ name: 'forward-64k', what: '64 KiB', path: '/64k', target: { haproxy: 1.25 } }),
  forward({ name: 'forward-chunked', what: '16 KiB in 4 chunks', path: '/chunked', target: { haproxy: 1.25 } }),
  forward({
    ...{ name: 'forward-post', what: 'POST of 16 KiB', path: '/post' },
    ...{ bodyBytes: POST_BYTES, target: { haproxy: 1.25 } },
  }),
];
