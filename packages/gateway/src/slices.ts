import { sendDue } from './tcp/outbox.ts';

/**
 * Long work as a generator: it yields wherever others may run. One code, two ways to drive it: to the end at once, or
 * in slices that leave the event loop free in between.
 */
export type Steps<T> = Generator<void, T>;

/** Runs to the end without a pause. */
export function run<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** Who waits for its next slice. */
const waiting: (() => void)[] = [];

/** One slice in each turn of the event loop, however many share it: or ten slow ones would hold it ten times as long. */
function nextTurn(): Promise<void> {
  return new Promise((enter) => {
    waiting.push(enter);
    if (waiting.length === 1) setImmediate(turn);
  });
}

function turn(): void {
  sendDue();
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(turn);
}

/** Runs in slices of about `ms` milliseconds and lets the event loop turn after each. */
export async function runSliced<T>(steps: Steps<T>, ms = 3): Promise<T> {
  for (;;) {
    const end = performance.now() + ms;
    do {
      const step = steps.next();
      if (step.done) return step.value;
    } while (performance.now() < end);
    await nextTurn();
  }
}
