/** Turns of the event loop, shared by all work of the process that must not hold it for long. */

/** Who waits for its next slice. */
const waiting: (() => void)[] = [];
/** When the work of this turn of the event loop began; 0 before it has. */
let began = 0;
const forget = (): void => {
  began = 0;
};

function turn(): void {
  began = performance.now();
  setImmediate(waiting.length > 1 ? turn : forget);
  waiting.shift()?.();
}

/**
 * A function to await inside long loops: it lets the event loop turn once `budget` milliseconds of work have passed in
 * this turn, whoever did it: a hundred short tasks hold it as long as one that is long. Of those that wait one goes on
 * in each turn.
 */
export function slices(budget = 2): () => Promise<void> | undefined {
  return () => {
    const now = performance.now();
    if (began === 0) {
      began = now;
      setImmediate(forget);
    }
    if (now - began < budget) return undefined;
    return new Promise((resolve) => {
      waiting.push(resolve);
      if (waiting.length === 1) setImmediate(turn);
    });
  };
}
