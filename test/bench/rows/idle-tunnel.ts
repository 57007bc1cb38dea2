/** Idle tunnels: what each holds in the memory of the proxy once it has carried one request. */
import { setTimeout as wait } from 'node:timers/promises';
import { startArcus } from '../arcus.ts';
import type { Lab, ProxyUnderTest } from '../lab.ts';
import { crowd, TunnelClient } from '../load/tunnel.ts';
import { residentBytes } from '../measure.ts';
import { startSquid } from '../neighbours/squid.ts';
import { startOrigin } from '../origin.ts';
import { type Row, summarize } from '../row.ts';
import { programs } from './tunnels.ts';

const TUNNELS = 8000;
const WARM = 500;
const AT_ONCE = 64;
const ROUNDS = 5;

/** Resident bytes once they hardly change any more; no garbage collection is forced. */
async function settled(proxy: ProxyUnderTest): Promise<number> {
  let last = residentBytes(proxy.pid);
  for (let look = 0; look < 8; look++) {
    await wait(500);
    const now = residentBytes(proxy.pid);
    if (look > 0 && Math.abs(now - last) < last * 0.002) return now;
    last = now;
  }
  return last;
}

async function open(proxy: ProxyUnderTest, authority: string, count: number): Promise<TunnelClient[]> {
  const clients: TunnelClient[] = [];
  await crowd(count, AT_ONCE, async () => {
    const client = await TunnelClient.open(proxy, authority);
    clients.push(client);
    await client.get('/1k');
  });
  return clients;
}

/** KiB for each of `TUNNELS`, in a process of its own: memory that was used once seldom goes back. */
async function measure(outer: Lab, start: (lab: Lab, port: number) => Promise<ProxyUnderTest>): Promise<number> {
  const lab = outer.nested();
  try {
    const origin = await startOrigin(lab);
    const authority = `${origin.host}:${origin.port}`;
    const proxy = await start(lab, origin.port);
    for (const client of await open(proxy, authority, WARM)) client.destroy();
    const before = await settled(proxy);
    const clients = await open(proxy, authority, TUNNELS);
    const after = await settled(proxy);
    for (const client of clients) client.destroy();
    return (after - before) / TUNNELS / 1024;
  } finally {
    await lab.close();
  }
}

export const idleTunnelRow: Row = {
  name: 'idle-tunnel',
  description: `idle CONNECT tunnel: resident memory each, at ${TUNNELS}`,
  programs,
  async run(lab) {
    const runs: Record<string, number[]> = { arcus: [], squid: [] };
    for (let round = 0; round < ROUNDS; round++) {
      runs.arcus!.push(await measure(lab, (each, port) => startArcus(each, { connectPorts: [port] })));
      runs.squid!.push(await measure(lab, startSquid));
    }
    return [summarize('idle-tunnel', 'KiB per tunnel', runs, 'arcus', { arcus: 10 })];
  },
};
