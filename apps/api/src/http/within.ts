/** Two looks at the clock while something is waited for, ms. */
const TICK = 50;
/** A timer that comes later than that by more, ms, tells that this process stood still. */
const STALL = 100;

/**
 * What `work` comes to; null when that takes longer than `ms`, Infinity included. The work goes on then. Time in which
 * this process stood still does not count: timers come before answers then, and nobody that was asked was slow.
 */
export async function within<T>(ms: number, work: Promise<T>): Promise<T | null> {
  if (ms === Number.POSITIVE_INFINITY) return work;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    const wait = (left: number): void => {
      const since = performance.now();
      const tick = Math.min(TICK, left);
      timer = setTimeout(() => {
        const passed = performance.now() - since;
        const rest = left - (passed > tick + STALL ? tick : passed);
        if (rest > 0) wait(rest);
        else resolve(null);
      }, tick);
    };
    wait(ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
