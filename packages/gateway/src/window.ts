/** Two lists with the same items, the very same objects, before `from` and behind the two ends. */
export interface Window {
  readonly from: number;
  /** End of what differs in the list before, and in the one after it. */
  readonly before: number;
  readonly after: number;
}

/** Where a list differs from the one before it: of 100,000 items a release changes a few hundred at one place. */
export function changed(before: readonly unknown[], after: readonly unknown[]): Window {
  const most = Math.min(before.length, after.length);
  let from = 0;
  while (from < most && before[from] === after[from]) from++;
  let same = 0;
  while (same < most - from && before[before.length - 1 - same] === after[after.length - 1 - same]) same++;
  return { from, before: before.length - same, after: after.length - same };
}
