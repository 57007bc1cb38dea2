/**
 * A clock for verdicts on a machine that others use, too: it counts the time in which Arcus could have done something,
 * and not what the machine kept from it. Whoever waits needlessly, for a timer or for somebody who is gone, stands
 * there with nothing to run: all of that counts.
 */
import { readFileSync } from 'node:fs';
import { threadsOf } from '@arcus/testkit/freeze.ts';

/** Between two looks, ms. */
const TICK_MS = 50;
/** This process stood still when a look comes later than that after the last one, ms. */
const LATE_MS = 2 * TICK_MS;

/** What a machine says of some processes. */
interface Look {
  /** Thread -> ns for which it waited for a core since it began. */
  readonly waited: ReadonlyMap<string, number>;
  /** Does one of them wait for a disk, or was it frozen? */
  readonly held: boolean;
}

/** Who tells how late it is (ms) and how processes are; tests play it. */
export interface Machine {
  now(): number;
  look(pids: readonly number[]): Look;
}

const thisMachine: Machine = { now: () => performance.now(), look };

export class FairClock {
  readonly #pids: () => readonly number[];
  readonly #machine: Machine;
  readonly #timer: NodeJS.Timeout;
  #last: number;
  #waited: Look['waited'];
  #ms = 0;
  #kept = 0;

  /** `pids`: those that work on what is timed, now. This process is one of them. */
  constructor(pids: () => readonly number[], machine = thisMachine) {
    this.#pids = pids;
    this.#machine = machine;
    this.#last = machine.now();
    this.#waited = machine.look([process.pid, ...pids()]).waited;
    this.#timer = setInterval(() => this.#tick(), TICK_MS).unref();
  }

  /** Counted up to now, ms. */
  get ms(): number {
    this.#tick();
    return this.#ms;
  }

  /** What was not counted, ms. */
  get kept(): number {
    return this.#kept;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const now = this.#machine.now();
    const passed = now - this.#last;
    this.#last = now;
    const { waited, held } = this.#machine.look([process.pid, ...this.#pids()]);
    let ms = 0;
    // Who waits beside another one lost the same time, not time of its own.
    for (const [thread, ns] of waited) ms = Math.max(ms, (ns - (this.#waited.get(thread) ?? 0)) / 1e6);
    this.#waited = waited;
    const counted = held ? 0 : Math.max(0, Math.min(passed, LATE_MS) - ms);
    this.#ms += counted;
    this.#kept += passed - counted;
  }
}

/** As /proc tells it; nothing where there is none. */
function look(pids: readonly number[]): Look {
  const waited = new Map<string, number>();
  let held = false;
  for (const pid of pids) {
    for (const thread of threadsOf(pid)) {
      try {
        const folder = `/proc/${pid}/task/${thread}`;
        const stat = readFileSync(`${folder}/stat`, 'latin1');
        // Behind its name, which may hold blanks and brackets.
        held ||= 'DT'.includes(stat[stat.lastIndexOf(')') + 2]!);
        waited.set(thread, Number(readFileSync(`${folder}/schedstat`, 'latin1').split(' ')[1]));
      } catch {
        // The thread is gone, or the kernel counts no waits.
      }
    }
  }
  return { waited, held };
}
