/** The management service and a worker, killed between any two steps. */
import { type FaultPoint, faultPoints } from '@arcus/control/faults.ts';
import { check } from '../lib/checker.ts';
import type { Lab } from '../lib/lab.ts';
import type { Scenario } from '../scenario.ts';

const pick = (prefix: string) => faultPoints.filter((point) => point.startsWith(prefix));
/** No release of the chaos configs comes to it: all their blobs go in one batch, and mostly in one transaction. */
const seldom = (point: FaultPoint) => point === 'publish.amid-blobs' || point === 'publish.after-blobs';

export const apiKilled: Scenario = {
  name: 'api-killed',
  title: 'the management service is killed between any two steps of publishing',
  members: 1,
  async run(lab, { kills }) {
    const points = pick('publish.');
    const counts = new Map<string, number>();
    let missed = 0;
    for (let i = 0; i < kills; i++) {
      const point = points[i % points.length]!;
      // Only the first release after a start goes into the store step by step.
      const nth = seldom(point) || point === 'publish.after-manifest' ? 1 : 1 + (Math.floor(i / points.length) % 4);
      if (await lab.dieAt(lab.api, lab.apiEnv, point, nth, 10_000)) counts.set(point, (counts.get(point) ?? 0) + 1);
      else missed++;
    }
    return { ...(await check(lab)), ...told(counts, missed) };
  },
};

export const workerKilled: Scenario = {
  name: 'worker-killed',
  title: 'a worker is killed between any two steps of applying',
  members: 1,
  async run(lab, { kills }) {
    const points = pick('apply.');
    const counts = new Map<string, number>();
    let missed = 0;
    const worker = lab.workers[0]!;
    for (let i = 0; i < kills; i++) {
      const point = points[i % points.length]!;
      await lab.withoutWorker(worker, async () => {
        const nth = 1 + (Math.floor(i / points.length) % 6);
        const died = await lab.dieAt(worker.process, worker.env, point, nth, 10_000);
        if (died) counts.set(point, (counts.get(point) ?? 0) + 1);
        else missed++;
      });
      await served(lab, 300);
    }
    return { ...(await check(lab)), ...told(counts, missed) };
  },
};

/** So long somebody is served. */
async function served(lab: Lab, ms: number): Promise<void> {
  const before = lab.clients.samples.length;
  const end = performance.now() + ms;
  while (performance.now() < end || lab.clients.samples.length === before) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function told(counts: ReadonlyMap<string, number>, missed: number) {
  const hurts = [...counts.values()].reduce((sum, one) => sum + one, 0);
  const by = [...counts].map(([point, count]) => `${point} ${count}`).join(', ');
  return { hurts, note: missed > 0 ? `${by}; ${missed} not reached` : by };
}
