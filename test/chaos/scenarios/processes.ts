/** The management service and a worker, killed between any two steps. */
import { setTimeout as wait } from 'node:timers/promises';
import { type FaultPoint, faultPoints } from '@arcus/control/faults.ts';
import { until } from '@arcus/testkit/until.ts';
import { check } from '../lib/checker.ts';
import type { Lab } from '../lib/lab.ts';
import type { Scenario } from '../scenario.ts';

const pick = (prefix: string) => faultPoints.filter((point) => point.startsWith(prefix));
/** Only the first release after a start goes into the store step by step. */
const stepwise: ReadonlySet<FaultPoint> = new Set([
  'publish.amid-blobs',
  'publish.after-blobs',
  'publish.after-manifest',
]);

export const apiKilled: Scenario = {
  name: 'api-killed',
  title: 'the management service is killed between any two steps of publishing',
  members: 1,
  async run(lab, { kills }) {
    const points = pick('publish.');
    const told = await killed(points, kills, (point, round) => {
      const nth = stepwise.has(point) ? 1 : 1 + (round % 4);
      return lab.dieAt(lab.api, lab.apiEnv, point, nth, 10_000);
    });
    return { ...(await check(lab)), ...told };
  },
};

export const workerKilled: Scenario = {
  name: 'worker-killed',
  title: 'a worker is killed between any two steps of applying',
  members: 1,
  async run(lab, { kills }) {
    const points = pick('apply.');
    const worker = lab.workers[0]!;
    const told = await killed(points, kills, async (point, round) => {
      let died = false;
      await lab.withoutWorker(worker, async () => {
        died = await lab.dieAt(worker.process, worker.env, point, 1 + (round % 6), 10_000);
      });
      await served(lab, 300);
      return died;
    });
    return { ...(await check(lab)), ...told };
  },
};

/** So long, and until somebody is served. */
async function served(lab: Lab, ms: number): Promise<void> {
  const before = lab.clients.samples.length;
  await wait(ms);
  await until(() => lab.clients.samples.length > before, { deadline: 120_000, what: 'somebody is served' });
}

/** Each point in turn until so many kills were made (undefined: one at each point); a point may be missed now and then. */
async function killed(
  points: readonly FaultPoint[],
  wanted: number | undefined,
  kill: (point: FaultPoint, round: number) => Promise<boolean>,
): Promise<{ hurts: number; note: string }> {
  const counts = new Map<string, number>();
  const kills = wanted ?? points.length;
  let hurts = 0;
  let missed = 0;
  for (let i = 0; hurts < kills && missed < kills; i++) {
    const point = points[i % points.length]!;
    if (!(await kill(point, Math.floor(i / points.length)))) missed++;
    else {
      hurts++;
      counts.set(point, (counts.get(point) ?? 0) + 1);
    }
  }
  const by = [...counts].map(([point, count]) => `${point} ${count}`).join(', ');
  return { hurts, note: missed > 0 ? `${by}; ${missed} times a point was not passed` : by };
}
