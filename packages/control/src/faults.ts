/**
 * Places between two steps of publishing and of applying a release where a test may end the process, as a crash would
 * (docs/reliability.md). Without ARCUS_FAULTS=1 or NODE_ENV=test nothing of this is there: `fault` does nothing.
 */
export const faultPoints = [
  /** In the management service, in the order in which a release passes them. */
  'publish.in-transaction',
  'publish.after-commit',
  'publish.before-store',
  'publish.amid-blobs',
  'publish.after-blobs',
  'publish.after-manifest',
  'publish.after-head',
  'publish.after-published',
  /** In the worker, in the same order. */
  'apply.after-load',
  'apply.after-compile',
  'apply.after-prepare',
  'apply.before-snapshot',
  'apply.amid-snapshot',
  'apply.after-snapshot',
  'apply.after-swap',
  'apply.before-sync',
  'apply.before-ack',
] as const;

export type FaultPoint = (typeof faultPoints)[number];

/** `ARCUS_FAULT=<point>:<n>`: the process ends with SIGKILL when it passes the point for the nth time. */
export function armed(env: Readonly<Record<string, string | undefined>>): (point: FaultPoint) => void {
  const { ARCUS_FAULT: wanted, ARCUS_FAULTS, NODE_ENV } = env;
  if (!wanted || (ARCUS_FAULTS !== '1' && NODE_ENV !== 'test')) return () => {};
  const [, point, times] = /^(.+):(\d+)$/.exec(wanted) ?? [];
  if (!faultPoints.includes(point as FaultPoint)) {
    throw new Error(`ARCUS_FAULT: ${wanted} is not <point>:<n>; points are ${faultPoints.join(', ')}`);
  }
  let left = Number(times);
  return (passed) => {
    if (passed === point && --left === 0) process.kill(process.pid, 'SIGKILL');
  };
}

/** The environment is read once, at the start of the process. */
export const fault = armed(process.env);
