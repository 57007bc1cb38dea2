import { setTimeout as wait } from 'node:timers/promises';

export interface UntilOptions {
  /** Milliseconds after which it fails; default 30,000: a busy machine may stand still for seconds. */
  deadline?: number;
  /** What is waited for, for the error. */
  what?: string;
  /** Milliseconds between two looks, at least; default 5, growing to 50. */
  every?: number;
}

/**
 * Polls `condition` until it gives something truthy, and gives that back. An error that it throws counts as "not yet"
 * and becomes the cause of the error at the deadline.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  { deadline = 30_000, what = condition.toString(), every = 5 }: UntilOptions = {},
): Promise<NonNullable<T>> {
  const end = performance.now() + deadline;
  let pause = every;
  let cause: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() >= end) throw new Error(`not within ${deadline} ms: ${what}`, { cause });
    await wait(pause);
    pause = Math.max(every, Math.min(50, pause * 1.5));
  }
}

/** Fails when `promise` takes longer than `deadline` milliseconds (default 30,000). */
export async function within<T>(promise: Promise<T>, what: string, deadline = 30_000): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${deadline} ms: ${what}`)), deadline);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
