/** What the kernel says of a process and of all it has started. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** proc(5): the fields of /proc/pid/stat behind the name, which may hold anything. Field 3 is at index 0. */
function stat(pid: number): string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

/** The process and its descendants that live now. */
export function processTree(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const parent = Number(stat(Number(name))?.[1] ?? 0);
    const list = children.get(parent);
    if (list) list.push(Number(name));
    else children.set(parent, [Number(name)]);
  }
  const found = [pid];
  for (let i = 0; i < found.length; i++) found.push(...(children.get(found[i]!) ?? []));
  return found;
}

/** CPU time that one process has spent so far, user and system, all threads, in seconds; 0 when it is gone. */
export function cpuSecondsOf(pid: number): number {
  const fields = stat(pid);
  return fields ? (Number(fields[11]) + Number(fields[12])) / ticksPerSecond : 0;
}

/** CPU time of all processes of the tree that live now, in seconds. */
export const cpuSeconds = (pid: number): number => processTree(pid).reduce((sum, each) => sum + cpuSecondsOf(each), 0);

/** Resident memory of the tree, bytes. */
export function residentBytes(pid: number): number {
  let kib = 0;
  for (const each of processTree(pid)) {
    try {
      kib += Number(/^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${each}/status`, 'latin1'))?.[1] ?? 0);
    } catch {
      // Gone since it was listed.
    }
  }
  return kib * 1024;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** `p` from 0 to 1. */
export function percentile(sorted: ArrayLike<number>, p: number): number {
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * p) - 1))]!;
}

/** CPU time of this process and of all children that have ended, s. */
function ownSeconds(): number {
  const fields = stat(process.pid)!;
  return [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at]), 0) / ticksPerSecond;
}

/** CPU time of the whole machine that was not idle, s: proc(5), the first line of /proc/stat. */
function machineSeconds(): number {
  const [user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'latin1')
    .split('\n', 1)[0]!
    .split(/ +/)
    .slice(1)
    .map(Number) as number[];
  return (user! + nice! + system! + irq! + softirq! + steal!) / ticksPerSecond;
}

/**
 * Starts to watch what else runs on the machine. The answer, asked once all children have ended, is in cores: 0.5 is
 * half a core. Latencies mean little when it is not near 0.
 */
export function watchOthers(): () => number {
  const [started, machine, own] = [performance.now(), machineSeconds(), ownSeconds()];
  return () => {
    const seconds = (performance.now() - started) / 1000;
    return Math.max(0, (machineSeconds() - machine - (ownSeconds() - own)) / seconds);
  };
}
