import type { Output } from './output.ts';

/** What one worker says of one tenant, as the API puts it. */
export interface WorkerState {
  readonly worker: string;
  readonly state: 'applied' | 'refused' | 'lagging' | 'silent' | 'lost';
  readonly applied: number;
  readonly refused: { version: number; issues: { pointer: string; message: string }[] } | null;
}

const colours = { applied: 'green', refused: 'red', lagging: 'yellow', silent: 'yellow', lost: 'red' } as const;

/** One line a worker, and below it why it refused. */
export function printWorkers(out: Output, workers: readonly WorkerState[]): void {
  const width = Math.max(0, ...workers.map((w) => w.worker.length));
  for (const { worker, state, applied, refused } of workers) {
    // Who cannot be heard may serve on.
    const runs = state === 'lost' ? 'what it runs is not known' : applied === 0 ? 'runs nothing' : `runs ${applied}`;
    const refuses = refused ? `, refused ${refused.version}` : '';
    out.say(`  ${worker.padEnd(width)}  ${out.style(colours[state], state.padEnd(7))}  ${runs}${refuses}`);
    for (const { pointer, message } of refused?.issues ?? []) out.say(`    ${pointer || '/'}  ${message}`);
  }
}
