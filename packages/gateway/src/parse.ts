import type { z } from 'zod';
import type { AnyObject } from './config.ts';
import { ENOUGH, type Fault, pointer } from './fault.ts';
import { faultsOf } from './issues.ts';
import { share } from './share.ts';
import type { Steps } from './slices.ts';
import { changed } from './window.ts';

/** Lists longer than this are parsed in parts. */
const PART = 500;

/** What a schema has given out: parsed again it is itself. Never change what was parsed. */
const outputs = new WeakMap<object, z.ZodObject>();
/** Items of long lists, as they were given and as they were parsed: most of a list that changes stays. */
const items = new WeakMap<z.ZodArray, WeakMap<object, unknown>>();
/** A long list as it was parsed -> as it was given. */
const sources = new WeakMap<object, readonly unknown[]>();

/**
 * As `schema.safeParse(input)`, with pauses between the parts of long lists: a policy of 100,000 rules or a group of
 * 100,000 users must not hold the event loop. `before` gives what the same object was parsed to in the release before:
 * of long lists only what changed is parsed again.
 */
export function* parseInSteps(
  schema: z.ZodObject,
  input: Record<string, unknown>,
  before?: () => AnyObject | undefined,
): Steps<{ object: AnyObject | null; faults: Fault[] }> {
  if (outputs.get(input) === schema) return { object: input as unknown as AnyObject, faults: [] };
  const long = Object.entries(input).flatMap(([key, list]) => {
    const array = Array.isArray(list) && list.length > PART ? plainArray(schema.shape[key]) : null;
    return array ? [{ key, list: list as unknown[], array }] : [];
  });
  const rest = long.length === 0 ? input : { ...input, ...Object.fromEntries(long.map(({ key }) => [key, []])) };
  const result = schema.safeParse(rest);
  const faults = result.success ? [] : faultsOf(result.error, rest);
  let object = (result.data ?? {}) as Record<string, unknown>;
  const last = before?.() as Record<string, unknown> | undefined;
  const old = last && outputs.get(last) === schema ? last : undefined;
  // What is as before is in memory once, and the release before leaves no holes there.
  if (old) object = share(old, object) as Record<string, unknown>;
  // Its long lists are still to come.
  if (object === old && long.length > 0) object = { ...old };
  for (const { key, list, array } of long) {
    // A list that was short may have been kept in another form.
    const known = old && Array.isArray(old[key]) ? (old[key] as unknown[]) : [];
    const source = sources.get(known);
    const part = source ? changed(source, list) : { from: 0, before: 0, after: list.length };
    let parsed = known.slice(0, part.from);
    for (let from = part.from; from < part.after; from += PART) {
      const some = list.slice(from, Math.min(from + PART, part.after));
      const { data, error } = parsePart(array, some);
      if (data) for (const item of data) parsed.push(item);
      else for (const f of faultsOf(error!, some)) faults.push({ ...f, pointer: moved(f.pointer, key, from) });
      if (faults.length >= ENOUGH) return { object: null, faults };
      yield;
    }
    if (source) parsed = parsed.concat(known.slice(part.before));
    sources.set(parsed, list);
    object[key] = parsed;
  }
  if (faults.length > 0) return { object: null, faults };
  outputs.set(object, schema);
  return { object: object as unknown as AnyObject, faults };
}

/** `kept` stands for `object`, which was parsed: parsed again it is itself. */
export function parsedAs(object: object, kept: object): void {
  const schema = outputs.get(object);
  if (schema) outputs.set(kept, schema);
}

function parsePart(array: z.ZodArray, part: readonly unknown[]) {
  let known = items.get(array);
  if (!known) {
    known = new WeakMap();
    items.set(array, known);
  }
  const isNew = (item: unknown) => typeof item !== 'object' || item === null || !known.has(item);
  const fresh = part.filter(isNew);
  const result = array.safeParse(fresh);
  // The pointers of faults count from the part's first item.
  if (!result.success) return fresh.length === part.length ? result : array.safeParse(part);
  let next = 0;
  const data = part.map((item) => {
    if (!isNew(item)) return known.get(item as object);
    return result.data[next++];
  });
  for (const [i, item] of part.entries()) {
    if (typeof item === 'object' && item !== null) known.set(item, data[i]);
  }
  return { data, error: undefined };
}

/** The array below optional and default wrappers; null when it checks more than its items, or may not be empty. */
function plainArray(schema: z.core.$ZodType | undefined): z.ZodArray | null {
  let inner = schema as z.ZodType | undefined;
  while (inner && 'innerType' in inner._zod.def) inner = inner._zod.def.innerType as z.ZodType;
  if (inner?._zod.def.type !== 'array') return null;
  return (inner._zod.def.checks?.length ?? 0) === 0 ? (inner as z.ZodArray) : null;
}

/** `/3/name` in the part that starts at 500 of `rules` is `/rules/503/name`. */
function moved(at: string, key: string, from: number): string {
  const [, index, ...more] = at.split('/');
  return [pointer(key, Number(index) + from), ...more].join('/');
}
