/** Which release a worker runs: the same answer wherever it is asked, and each time. */
import { createHash } from 'node:crypto';
import type { Head, HeadBody, Labels, ReleaseRef, Subset } from './release.ts';

/** A worker as far as the choice goes. */
export interface Chooser {
  readonly id: string;
  readonly labels: Readonly<Labels>;
}

const BUCKETS = 10_000;

/** What `worker` shall run of the tenant; null when the tenant is deleted or not placed there. */
export function chosen(head: Omit<HeadBody, 'schema'> | Head, worker: Chooser): ReleaseRef | null {
  if (head.deleted || !placed(head.placement, worker)) return null;
  const { version, manifest } = head.rollout && within(head.rollout.subset, worker) ? head.rollout : head.stable;
  return { version, manifest };
}

/** Does the tenant run there? */
export const placed = (placement: HeadBody['placement'], worker: Chooser): boolean =>
  placement === undefined || placement.any.some((labels) => matches(labels, worker.labels));

/** Is the worker in this part of the fleet? Who is in at 5 % is in at 25 %, in every rollout. */
export const within = (subset: Subset, worker: Chooser): boolean =>
  (subset.labels !== undefined && matches(subset.labels, worker.labels)) ||
  (subset.percent !== undefined && bucketOf(worker.id) < subset.percent * (BUCKETS / 100));

/** Has `labels` all that `wanted` asks for? */
export const matches = (wanted: Readonly<Labels>, labels: Readonly<Labels>): boolean =>
  Object.entries(wanted).every(([name, value]) => labels[name] === value);

/** A worker's place among 10,000: by its id alone, so that it is the same in all processes and at all times. */
function bucketOf(id: string): number {
  return createHash('sha256').update('arcus rollout\0').update(id).digest().readUInt32BE(0) % BUCKETS;
}
