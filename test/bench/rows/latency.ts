/** What a proxy adds to the time of a request when it has little to do: 1,000 requests a second, open loop. */
import { startArcus } from '../arcus.ts';
import { emptyLogs, type Lab, type ProxyUnderTest } from '../lab.ts';
import { openLoop } from '../load/open-loop.ts';
import { percentile } from '../measure.ts';
import { startHaproxy } from '../neighbours/haproxy.ts';
import { startSquid } from '../neighbours/squid.ts';
import { startOrigin } from '../origin.ts';
import { answerBytes, checkForward } from '../probe.ts';
import { type Row, summarize } from '../row.ts';
import { forwardPrograms } from './forward.ts';

const PER_SECOND = 1000;
const SECONDS = 1;
const ROUNDS = 21;

const head = (url: string, authorization: string) =>
  `GET ${url} HTTP/1.1\r\nHost: ${new URL(url).host}\r\n${authorization && `Proxy-Authorization: ${authorization}\r\n`}\r\n`;

/**
 * Work of the lowest class on both cores: a core that has nothing to do sleeps, and on a virtual machine it takes longer to wake
 * than any proxy takes.
 */
async function keepAwake(lab: Lab): Promise<void> {
  for (const measured of [true, false]) {
    await lab.start('chrt', ['--idle', '0', 'sh', '-c', 'while :; do :; done'], { measured, ready: () => true });
  }
}

export const latencyRow: Row = {
  name: 'latency',
  description: `added latency at ${PER_SECOND} requests a second`,
  programs: forwardPrograms,
  urgent: true,
  async run(lab) {
    const origin = await startOrigin(lab);
    const url = `http://${origin.host}:${origin.port}/1k`;
    const proxies = [await startArcus(lab), await startHaproxy(lab, 'http', origin.port), await startSquid(lab)];
    for (const proxy of proxies) await checkForward(proxy, url, null);
    await keepAwake(lab);
    const ways: { name: string; port: number; authorization: string; proxy?: ProxyUnderTest }[] = [
      { name: 'direct', port: origin.port, authorization: '' },
      ...proxies.map((proxy) => ({ ...proxy, proxy })),
    ];
    /** Sorted times of one way, in ms. */
    const measure = async ({ port, authorization, proxy }: (typeof ways)[number], seconds: number) => {
      const text = head(url, authorization);
      // All answers are alike, so that counting bytes is enough.
      const bytes = await answerBytes(port, text);
      const count = PER_SECOND * seconds;
      const times = await openLoop({ port, request: text, answerBytes: bytes, perSecond: PER_SECOND, count });
      if (proxy) emptyLogs(proxy);
      return times;
    };
    for (const way of ways) await measure(way, 2);
    const p50: Record<string, number[]> = {};
    const p99: Record<string, number[]> = {};
    for (let round = 0; round < ROUNDS; round++) {
      let direct: Float64Array | undefined;
      for (const way of ways) {
        const times = await measure(way, SECONDS);
        direct ??= times;
        if (times === direct) continue;
        p50[way.name] = [...(p50[way.name] ?? []), percentile(times, 0.5) - percentile(direct, 0.5)];
        p99[way.name] = [...(p99[way.name] ?? []), percentile(times, 0.99) - percentile(direct, 0.99)];
      }
    }
    return [
      summarize('latency-p50', 'ms added', p50, 'arcus', { arcus: 0.15 }),
      summarize('latency-p99', 'ms added', p99, 'arcus', { arcus: 1 }),
    ];
  },
};
