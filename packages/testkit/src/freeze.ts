import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { until } from './until.ts';

// Linux only; elsewhere nothing says how far a signal has come.
const known = existsSync('/proc/self/task');

/**
 * Freezes a process (SIGSTOP) and resolves once it stands still. `kill` returns when the signal was noted: a thread
 * that runs on another core, or is inside a system call, goes on for a moment and may yet answer somebody. What it
 * answered before may still be on its way, through a proxy between for example.
 */
export async function freeze(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  if (known) await until(() => standsStill(pid), { deadline: 60_000, what: `process ${pid} stands still` });
}

/** Whether each thread of a process is stopped or dead. */
export function standsStill(pid: number): boolean {
  const threads = threadsOf(pid);
  // One that was made while we looked would be missed: only a process that stands still makes none.
  return threads.every((thread) => isStill(pid, thread)) && threadsOf(pid).join() === threads.join();
}

/** Ids of a process's threads; none when it is gone, or nothing tells. */
export function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).sort();
  } catch {
    return [];
  }
}

function isStill(pid: number, thread: string): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1');
    // Behind its name, which may hold blanks and brackets.
    return 'TZX'.includes(stat[stat.lastIndexOf(')') + 2]!);
  } catch {
    return true; // The thread is gone.
  }
}
