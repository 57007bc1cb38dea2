/** CONNECT tunnels: CPU of the proxy per GB each way, and per tunnel that lives for one request. */
import { startArcus } from '../arcus.ts';
import type { Lab, ProxyUnderTest } from '../lab.ts';
import { startSink } from '../load/sink.ts';
import { crowd, TunnelClient } from '../load/tunnel.ts';
import { cpuSeconds } from '../measure.ts';
import { startHaproxy } from '../neighbours/haproxy.ts';
import { startProxyChain } from '../neighbours/proxy-chain.ts';
import { startSquid } from '../neighbours/squid.ts';
import { startTinyproxy } from '../neighbours/tinyproxy.ts';
import { BIG_BYTES, startOrigin } from '../origin.ts';
import { compare, type Row } from '../row.ts';

const AT_ONCE = 4;
const CHUNK = Buffer.alloc(256 * 1024, 'x');

/** All proxies, with tunnels to one place allowed. */
async function startAll(lab: Lab, port: number): Promise<ProxyUnderTest[]> {
  return [
    await startArcus(lab, { connectPorts: [port] }),
    await startHaproxy(lab, 'tcp', port),
    await startSquid(lab),
    await startTinyproxy(lab, [port]),
    await startProxyChain(lab),
  ];
}

export const programs = [
  ...(['taskset', 'nginx', 'redis-server', 'haproxy', 'squid', 'htpasswd', 'tinyproxy'] as const),
  '/usr/lib/squid/basic_ncsa_auth',
] as const;

/** CPU of the proxy during `work`, in seconds. */
async function cpuOf(proxy: ProxyUnderTest, work: () => Promise<unknown>): Promise<number> {
  const before = cpuSeconds(proxy.pid);
  await work();
  return cpuSeconds(proxy.pid) - before;
}

interface Bulk {
  name: string;
  description: string;
  target: Record<string, number>;
  startTarget(lab: Lab): Promise<{ port: number; host: string }>;
  move(client: TunnelClient): Promise<void>;
}

const bulk = ({ name, description, target, startTarget, move }: Bulk): Row => ({
  name,
  description,
  programs,
  async run(lab) {
    const end = await startTarget(lab);
    const authority = `${end.host}:${end.port}`;
    /** `times` × 100 MB in each of the tunnels. */
    const load = async (proxy: ProxyUnderTest, times: number) => {
      await crowd(AT_ONCE, AT_ONCE, async () => {
        const client = await TunnelClient.open(proxy, authority);
        for (let i = 0; i < times; i++) await move(client);
        await client.close();
      });
      return (times * AT_ONCE * BIG_BYTES) / 1e9;
    };
    return [
      await compare({
        ...{ name, unit: 'CPU ms per GB', target, proxies: await startAll(lab, end.port), rounds: 5 },
        warm: (proxy) => load(proxy, 1),
        measure: async (proxy) => {
          let gigabytes = 0;
          const seconds = await cpuOf(proxy, async () => {
            gigabytes = await load(proxy, 2);
          });
          return (seconds * 1000) / gigabytes;
        },
      }),
    ];
  },
});

const SETUPS = 5000;
/** By then each proxy is as fast as it gets: the two in Node have compiled what they run. */
const WARM_SETUPS = 15_000;
const SETUPS_AT_ONCE = 16;

export const tunnelRows: readonly Row[] = [
  bulk({
    name: 'tunnel-download',
    description: `CONNECT, downloads of 100 MB, ${AT_ONCE} at a time: CPU per GB`,
    target: { haproxy: 0.7 },
    startTarget: startOrigin,
    move: (client) => client.get('/100m'),
  }),
  bulk({
    name: 'tunnel-upload',
    description: `CONNECT, uploads of 100 MB, ${AT_ONCE} at a time: CPU per GB`,
    target: { haproxy: 1 },
    startTarget: startSink,
    move: (client) => client.send(BIG_BYTES, CHUNK),
  }),
  {
    name: 'tunnel-setup',
    description: `CONNECT, one request of 1 KiB, close, ${SETUPS_AT_ONCE} at a time: CPU per tunnel`,
    programs,
    async run(lab) {
      const origin = await startOrigin(lab);
      const authority = `${origin.host}:${origin.port}`;
      const load = (proxy: ProxyUnderTest, count: number) =>
        crowd(count, SETUPS_AT_ONCE, async () => {
          const client = await TunnelClient.open(proxy, authority);
          await client.get('/1k', true);
          await client.close();
        });
      return [
        await compare({
          ...{ name: 'tunnel-setup', unit: 'CPU µs per tunnel', target: { squid: 1 } },
          ...{ proxies: await startAll(lab, origin.port), rounds: 7 },
          warm: (proxy) => load(proxy, WARM_SETUPS),
          measure: async (proxy) => ((await cpuOf(proxy, () => load(proxy, SETUPS))) / SETUPS) * 1e6,
        }),
      ];
    },
  },
];
