import { setTimeout as wait } from 'node:timers/promises';
import { until } from '@arcus/testkit/until.ts';
import { check } from '../lib/checker.ts';
import type { Scenario } from '../scenario.ts';

const HOUR = 3_600_000;

export const clockJumps: Scenario = {
  name: 'clock-jumps',
  title: 'the clock of management service and workers jumps an hour, both ways, with restarts between',
  members: 1,
  async run(lab, { long }) {
    let jumps = 0;
    for (let round = 0; round < (long ? 10 : 1); round++) {
      for (const ms of [HOUR, -HOUR, 0]) {
        lab.setClock(ms);
        jumps++;
        await wait(200);
        const before = lab.writer.accepted.length;
        await until(() => lab.writer.accepted.length > before + 6, { deadline: 120_000, what: 'writes go on' });
        if (ms < 0) {
          // What waits for the store was noted before the clock went back, or after: it must not wait for the hour.
          await lab.etcd.process.kill('SIGKILL');
          lab.setClock(HOUR);
          await wait(700);
          lab.setClock(ms);
          await wait(700);
          await lab.etcd.process.start();
          // Who starts now sees heads and snapshots from an hour ahead.
          await lab.api.restart('SIGKILL');
          for (const worker of lab.workers) await lab.restartWorker(worker);
          await wait(500);
        }
      }
    }
    return { ...(await check(lab)), hurts: jumps, note: '' };
  },
};
