/** etcd, Redis and MariaDB: killed, frozen, compacted, wiped, put back. */
import { spawn } from 'node:child_process';
import { setTimeout as wait } from 'node:timers/promises';
import { ask as askRedis } from '@arcus/testkit/connect.ts';
import { until } from '@arcus/testkit/until.ts';
import { check } from '../lib/checker.ts';
import type { Place } from '../lib/config.ts';
import { FairClock } from '../lib/fair-clock.ts';
import type { Accepted } from '../lib/writer.ts';
import type { Scenario } from '../scenario.ts';

export const etcdKilled: Scenario = {
  name: 'etcd-killed',
  title: 'etcd is killed while releases are on their way, and comes back',
  members: 1,
  async run(lab, { long }) {
    const times = long ? 20 : 2;
    for (let i = 0; i < times; i++) {
      await lab.etcd.process.kill('SIGKILL');
      await wait(long ? 500 + Math.random() * 5000 : 500);
      await lab.etcd.process.start();
      await wait(300);
    }
    return { ...(await check(lab)), hurts: times, note: '' };
  },
};

export const etcdFrozen: Scenario = {
  name: 'etcd-frozen',
  title: 'etcd is frozen: connections stay open and nobody answers',
  members: 1,
  async run(lab, { long }) {
    const pauses = long ? [2, 5, 12, 30, 60] : [3];
    for (const seconds of pauses) {
      await lab.etcd.process.stop();
      await wait(seconds * 1000);
      lab.etcd.process.cont();
      await wait(300);
    }
    return { ...(await check(lab)), hurts: pauses.length, note: `${pauses.join(', ')} s` };
  },
};

export const etcdCompacted: Scenario = {
  name: 'etcd-compacted',
  title: 'etcd is compacted past a worker that was away',
  members: 1,
  async run(lab, { long }) {
    const times = long ? 10 : 2;
    const worker = lab.workers[0]!;
    for (let i = 0; i < times; i++) {
      await lab.withoutWorker(worker, async () => {
        await worker.process.stop();
        // A frozen process's connections live: only a server that is gone makes it ask again from where it stood.
        await lab.etcd.process.restart('SIGKILL');
        const before = lab.writer.accepted.length;
        await until(() => lab.writer.accepted.length > before + 4, { deadline: 120_000, what: 'writes go on' });
        await lab.etcd.compact();
        worker.process.cont();
        await wait(200);
      });
    }
    return { ...(await check(lab)), hurts: times, note: '' };
  },
};

export const etcdWiped: Scenario = {
  name: 'etcd-wiped',
  title: 'etcd loses everything and is filled again from the database',
  members: 1,
  async run(lab, { long }) {
    const times = long ? 10 : 1;
    for (let i = 0; i < times; i++) {
      await lab.etcd.wipe();
      await wait(500);
    }
    return { ...(await check(lab)), hurts: times, note: '' };
  },
};

export const etcdRestored: Scenario = {
  name: 'etcd-restored',
  title: 'etcd is put back to a backup that is older than what workers run',
  members: 1,
  async run(lab, { long }) {
    const times = long ? 10 : 1;
    for (let i = 0; i < times; i++) {
      const restore = await lab.etcd.backup();
      const before = lab.writer.accepted.length;
      await until(() => lab.writer.accepted.length > before + 6, { deadline: 120_000, what: 'writes go on' });
      await restore();
      await wait(500);
    }
    return { ...(await check(lab)), hurts: times, note: '' };
  },
};

export const redisGone: Scenario = {
  name: 'redis-gone',
  title: 'Redis is killed, frozen and wiped',
  members: 1,
  async run(lab, { long }) {
    const times = long ? 10 : 1;
    for (let i = 0; i < times; i++) {
      await lab.redis.process.kill('SIGKILL');
      await wait(500);
      await lab.redis.process.start();
      await lab.redis.process.stop();
      await wait(long ? 5000 : 500);
      lab.redis.process.cont();
      await askRedis(lab.redis.port, 'FLUSHALL\r\n');
      await wait(200);
    }
    return { ...(await check(lab)), hurts: times * 3, note: '' };
  },
};

export const databaseRestarted: Scenario = {
  name: 'database-restarted',
  title: 'MariaDB is killed in the middle of transactions, and comes back',
  members: 1,
  async run(lab, { long }) {
    const times = long ? 20 : 2;
    for (let i = 0; i < times; i++) {
      // Holds a tenant's row, so that a write stands in the middle of its transaction.
      const { tenant } = lab.places[i % lab.places.length]!;
      const hold = `BEGIN; SELECT * FROM tenants WHERE tenant_id = '${tenant}' FOR UPDATE; SELECT SLEEP(600);`;
      let said = '';
      let holding = true;
      const holder = spawn('mariadb', [...lab.sqlArgs, '-e', hold], { stdio: ['ignore', 'ignore', 'pipe'] });
      holder.stderr.on('data', (chunk) => (said += chunk));
      const gone = new Promise<void>((resolve) => {
        holder.once('close', () => {
          holding = false;
          resolve();
        });
      });
      const waiting = 'SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = "LOCK WAIT"';
      const stands = async () => {
        if (!holding) throw new Error(`nobody holds the row any more: ${said}`);
        return (await lab.sql(waiting)).length > 0;
      };
      // InnoDB makes this table anew only when nobody has read it for 100 ms.
      await until(stands, { deadline: 120_000, every: 200, what: 'a write waits in its transaction' });
      await lab.database.process.kill('SIGKILL');
      await gone;
      await wait(long ? Math.random() * 5000 : 300);
      await lab.database.process.start();
      await wait(500);
    }
    return { ...(await check(lab)), hurts: times, note: '' };
  },
};

const ofPlace = (place: Place) => (one: Accepted) => one.tenant === place.tenant;

export const membersStopped: Scenario = {
  name: 'etcd-members',
  title: 'of three members of etcd one is killed, then two',
  members: 3,
  async run(lab, { long }) {
    const times = long ? 6 : 1;
    let during = 0;
    for (let i = 0; i < times; i++) {
      const [a, b] = [lab.etcd.members[i % 3]!, lab.etcd.members[(i + 1) % 3]!];
      await a.kill('SIGKILL');
      const before = lab.writer.accepted.length;
      // With two of three it goes on: new releases get out.
      await until(() => lab.writer.accepted.length > before + 4, { deadline: 120_000, what: 'writes go on' });
      for (const worker of lab.workers) {
        for (const place of lab.places) {
          const old = new Set(
            lab.writer.accepted
              .slice(0, before)
              .filter(ofPlace(place))
              .map(({ n }) => n),
          );
          const made = () => lab.writer.accepted.slice(before).filter(ofPlace(place));
          const isNew = (n: number) => !old.has(n) && made().some((one) => one.n === n);
          await until(async () => isNew(await lab.clients.ask(worker, place)), {
            deadline: 60_000,
            what: 'releases get out with two of three members',
          });
        }
      }
      during += lab.writer.accepted.length - before;
      await b.kill('SIGKILL');
      await wait(long ? 10_000 : 1500);
      await Promise.all([a.start(), b.start()]);
      await wait(300);
    }
    return { ...(await check(lab)), hurts: times * 2, note: `${during} releases with two of three` };
  },
};

export const allDown: Scenario = {
  name: 'all-down',
  title: 'etcd, Redis and MariaDB are down: workers serve on, and again after a restart',
  members: 1,
  async run(lab, { long }) {
    const times = long ? 5 : 1;
    const starts: number[] = [];
    let late = false;
    for (let i = 0; i < times; i++) {
      const all = [lab.etcd.process, lab.redis.process, lab.database.process];
      const clock = new FairClock(() => lab.pids);
      await Promise.all(all.map((one) => one.kill('SIGKILL')));
      await wait(long ? 20_000 : 2000);
      for (const worker of lab.workers) {
        const [from, kept] = [performance.now(), clock.kept];
        await lab.restartWorker(worker);
        for (const place of lab.places) {
          await until(() => lab.clients.ask(worker, place), { what: 'a restarted worker serves', deadline: 120_000 });
        }
        const took = performance.now() - from;
        starts.push(took);
        late ||= took - (clock.kept - kept) > lab.barMs;
      }
      await wait(long ? 5000 : 500);
      await Promise.all(all.map((one) => one.start()));
      clock.stop();
      await wait(300);
    }
    const slowest = Math.round(Math.max(...starts));
    const verdict = await check(lab);
    if (late) verdict.faults.push(`a worker served only ${slowest} ms after its restart`);
    return { ...verdict, hurts: times * 3, note: `restarted worker served after at most ${slowest} ms` };
  },
};
