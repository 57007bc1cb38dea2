import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

/** Who holds a data folder. `started` tells a process from a later one that was given the same number. */
const Holder = z.strictObject({ pid: z.int().positive(), started: z.string() });
type Holder = z.output<typeof Holder>;

/** Somebody else uses the data folder. */
export class Locked extends Error {
  readonly pid: number;
  constructor(pid: number) {
    super(`process ${pid} uses it`);
    this.pid = pid;
  }
}

/**
 * Takes a data folder for this process, until the answer is called or the process is gone, however it ends.
 * Throws Locked.
 */
export function lock(folder: string): () => void {
  const file = join(folder, 'lock');
  const draft = `${file}.${process.pid}`;
  const me: Holder = { pid: process.pid, started: startOf(process.pid) ?? '' };
  writeFileSync(draft, JSON.stringify(me), { mode: 0o600 });
  try {
    for (;;) {
      try {
        linkSync(draft, file);
        return () => rmSync(file, { force: true });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const holder = readHolder(file);
      if (holder && startOf(holder.pid) === holder.started) throw new Locked(holder.pid);
      rmSync(file, { force: true });
    }
  } finally {
    rmSync(draft, { force: true });
  }
}

function readHolder(file: string): Holder | null {
  try {
    return Holder.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return null;
  }
}

/** When a process began, as the kernel counts (proc(5), field 22 of stat); '' where that cannot be told; null: gone. */
function startOf(pid: number): string | null {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return null;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}
