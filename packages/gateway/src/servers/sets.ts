/** Sets that were made, by what is in them. */
const known = new Map<string, ReadonlySet<unknown>>();
/** So many are remembered. */
const MOST = 256;

/** A set of the values: as a rule the same one for the same values, since thousands of servers say the same. */
export function oneOfEach<T extends string | number>(values: readonly T[]): ReadonlySet<T> {
  const key = JSON.stringify(values);
  let set = known.get(key) as ReadonlySet<T> | undefined;
  if (set === undefined) {
    set = new Set(values);
    if (known.size < MOST) known.set(key, set);
  }
  return set;
}
