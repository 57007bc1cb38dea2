import { setTimeout as wait } from 'node:timers/promises';
import { until } from '@arcus/testkit/until.ts';
import { check } from '../lib/checker.ts';
import { Lab } from '../lib/lab.ts';
import { openNamespace, passOn, unable } from '../lib/netns.ts';
import type { Scenario } from '../scenario.ts';

export const cutOff: Scenario = {
  name: 'cut-off',
  title: 'a worker is cut off from etcd so that no reset tells it, while releases go on',
  unable,
  members: 0,
  async run({ barMs }, { long }) {
    const space = openNamespace();
    const close: { close(): unknown }[] = [space];
    try {
      const lab = await Lab.start({ workers: 0, listen: '0.0.0.0', here: space.here });
      close.push(lab);
      lab.barMs = barMs;
      const etcd = await passOn(space.here, lab.etcd.port);
      const redis = await passOn(space.here, lab.redis.port);
      close.push(etcd, redis);
      const worker = await lab.addWorker('behind', {
        host: space.there,
        env: {
          ARCUS_STORE_URL: `etcd://${space.here}:${etcd.port}`,
          ARCUS_REDIS_URL: `redis://${space.here}:${redis.port}`,
        },
        wrap: space.wrap,
      });
      // Beside it one that is not cut off: same tenants, same ports, its own network.
      await lab.addWorker('beside');
      for (const place of lab.places) await lab.writer.create(place);
      lab.begin();
      const pauses = long ? [20, 60, 180, 300] : [12];
      let accepted = 0;
      let slowest = 0;
      for (const seconds of pauses) {
        const before = lab.writer.accepted.length;
        space.cut(etcd.port);
        await wait(seconds * 1000);
        accepted += lab.writer.accepted.length - before;
        const lost = async () =>
          /config store does not answer/.test(await (await fetch(`${worker.admin}/health`)).text());
        await until(lost, { deadline: 60_000, what: 'the worker that is cut off says so' });
        space.heal();
        const verdict = await check(lab);
        slowest = Math.max(slowest, verdict.convergedMs);
        if (verdict.faults.length > 0 || seconds === pauses.at(-1)) {
          const note = `${pauses.join(', ')} s; ${accepted} releases meanwhile`;
          return { ...verdict, convergedMs: slowest, hurts: pauses.length, note };
        }
        lab.writer.start(150);
      }
      throw new Error('unreachable');
    } finally {
      for (const one of close.reverse()) await one.close();
    }
  },
};
