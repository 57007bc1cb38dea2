/** A worker's disk: full, or with files that somebody cut or altered. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { until } from '@arcus/testkit/until.ts';
import { check } from '../lib/checker.ts';
import type { Lab, LabWorker, WorkerOptions } from '../lib/lab.ts';
import type { Scenario } from '../scenario.ts';

/** The program that makes a mount that only the worker sees; '' when this machine lets nobody. */
function mounting(): string[] {
  for (const how of [['-m'], ['-rm']]) {
    try {
      execFileSync('unshare', [...how, 'sh', '-c', 'mount -t tmpfs -o size=64k tmpfs /mnt'], { stdio: 'ignore' });
      return how;
    } catch {
      // Not allowed, or no such program.
    }
  }
  return [];
}

export const diskFull: Scenario = {
  name: 'disk-full',
  title: 'the disk of a worker’s snapshot is full, and has room again',
  members: 1,
  unable: () => (mounting().length > 0 ? '' : 'nobody may mount a file system here'),
  async run(lab, { long }) {
    const how = mounting();
    const data = lab.workers[0]!.data;
    const mount = `mount -t tmpfs -o size=4m tmpfs '${data}' && exec "$@"`;
    const worker = await moved(lab, (command, args) => ({
      command: 'unshare',
      args: [...how, 'sh', '-c', mount, 'sh', command, ...args],
    }));
    const { id } = worker;
    const inside = `/proc/${worker.process.pid}/root${data}`;
    const times = long ? 10 : 1;
    let refused = 0;
    for (let i = 0; i < times; i++) {
      await until(() => readdirSync(join(inside, 'worker', id, 'tenants')).length >= lab.places.length, {
        deadline: 120_000,
        what: 'the snapshot has all tenants',
      });
      const failing = async () =>
        /snapshot cannot be written/.test(await (await fetch(`${worker.admin}/health`)).text());
      // What the worker gives up makes room: until none is left.
      const full = () => {
        fill(join(inside, 'filler'));
        return failing();
      };
      await until(full, { deadline: 120_000, what: 'the worker says that its snapshot cannot be written' });
      refused++;
      await wait(long ? 5000 : 500);
      truncateSync(join(inside, 'filler'), 0);
      await until(async () => !(await failing()), { deadline: 120_000, what: 'the snapshot is written again' });
    }
    const verdict = await check(lab);
    await moved(lab);
    return { ...verdict, hurts: refused, note: '' };
  },
};

/** Until nothing more goes in. */
function fill(path: string): void {
  for (const size of [65_536, 4096, 512]) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(size), { flag: 'a' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }
}

/** The lab's worker goes on with an empty disk, started by `wrap`. */
async function moved(lab: Lab, wrap?: WorkerOptions['wrap']): Promise<LabWorker> {
  const old = lab.workers[0]!;
  let worker = old;
  await lab.withoutWorker(old, async () => {
    lab.workers.splice(0, 1);
    await old.process.kill('SIGTERM');
    rmSync(old.data, { recursive: true, force: true });
    mkdirSync(old.data, { recursive: true });
    worker = await lab.addWorker(old.id, { host: old.host, ...(wrap && { wrap }) });
  });
  return worker;
}

export const snapshotDamaged: Scenario = {
  name: 'snapshot-damaged',
  title: 'files of a worker’s snapshot are cut, altered, emptied or of another tenant, with and without etcd',
  members: 1,
  async run(lab, { long }) {
    const worker = lab.workers[0]!;
    const folder = join(worker.data, 'worker', worker.id, 'tenants');
    let hurts = 0;
    for (let round = 0; round < (long ? 10 : 1); round++) {
      for (const damage of long ? damages : damages.slice(0, 2)) {
        const victim = lab.places[0]!;
        const other = lab.places[1]!;
        await lab.withoutWorker(worker, async () => {
          await worker.process.kill('SIGKILL');
          damage(join(folder, victim.tenant), join(folder, other.tenant));
          hurts++;
          // The others are served from what they have, with nobody to ask.
          await lab.etcd.process.kill('SIGKILL');
          await worker.process.start();
          await until(() => lab.clients.ask(worker, other), { deadline: 120_000, what: 'the other tenant is served' });
          await lab.etcd.process.start();
          await until(() => lab.clients.ask(worker, victim), { what: 'the tenant is served again', deadline: 120_000 });
        });
      }
    }
    return { ...(await check(lab)), hurts, note: '' };
  },
};

const damages: ((file: string, other: string) => void)[] = [
  (file) => truncateSync(file, readFileSync(file).length >> 1),
  (file) => {
    const bytes = readFileSync(file);
    bytes[bytes.length - 5]! ^= 1;
    writeFileSync(file, bytes);
  },
  (file) => writeFileSync(file, ''),
  (file, other) => writeFileSync(file, readFileSync(other)),
];
