/**
 * Where a kind's schema has fields made with `secret()` or `writeOnly()`. The plan of a schema is made once; walking
 * an object then visits only what leads to such a field.
 */
import type { z } from 'zod';
import { kindOf } from './config.ts';
import { pointer } from './fault.ts';
import type { Family } from './kind.ts';
import type { Steps } from './slices.ts';
import { changed } from './window.ts';

type Mark = 'secret' | 'writeOnly';
type Plan = { readonly mark: Mark } | { readonly fields: ReadonlyMap<string, Plan> } | { readonly items: Plan } | null;

const plans = new WeakMap<z.core.$ZodType, { plan: Plan }>();

function planOf(schema: z.core.$ZodType): Plan {
  const known = plans.get(schema);
  if (known) return known.plan;
  const plan = makePlan(schema as z.ZodType);
  plans.set(schema, { plan });
  return plan;
}

function makePlan(schema: z.ZodType): Plan {
  const meta = schema.meta?.() as { secret?: boolean; writeOnly?: boolean } | undefined;
  if (meta?.secret) return { mark: 'secret' };
  if (meta?.writeOnly) return { mark: 'writeOnly' };
  const def = schema._zod.def as unknown as Record<string, unknown> & { type: string };
  if (def.type === 'object') {
    const fields = new Map<string, Plan>();
    for (const [key, field] of Object.entries(def.shape as Record<string, z.ZodType>)) {
      const plan = planOf(field);
      if (plan) fields.set(key, plan);
    }
    return fields.size > 0 ? { fields } : null;
  }
  if (def.type === 'array') {
    const items = planOf(def.element as z.ZodType);
    return items ? { items } : null;
  }
  const inner = def.innerType ?? def.in;
  return inner ? planOf(inner as z.ZodType) : null;
}

/** Calls `visit` for each marked string; its answer takes the string's place in a copy. Untouched parts are shared. */
function walk(
  plan: Plan,
  value: unknown,
  place: string,
  at: string,
  visit: (mark: Mark, value: string, place: string, pointer: string) => string,
): unknown {
  if (plan === null || value === undefined || value === null) return value;
  if ('mark' in plan) return typeof value === 'string' ? visit(plan.mark, value, place, at) : value;
  if ('items' in plan) {
    if (!Array.isArray(value)) return value;
    let copy: unknown[] | undefined;
    value.forEach((item, i) => {
      // A list's item goes by its name: its place must not change with its position.
      const name = (item as { name?: unknown } | null)?.name;
      const result = walk(plan.items, item, `${place}/${typeof name === 'string' ? name : i}`, `${at}/${i}`, visit);
      if (result === item) return;
      copy ??= [...value];
      copy[i] = result;
    });
    return copy ?? value;
  }
  if (typeof value !== 'object') return value;
  let copy: Record<string, unknown> | undefined;
  for (const [key, field] of plan.fields) {
    const old = (value as Record<string, unknown>)[key];
    const result = walk(field, old, `${place}/${key}`, `${at}/${key}`, visit);
    if (result === old) continue;
    copy ??= { ...(value as Record<string, unknown>) };
    copy[key] = result;
  }
  return copy ?? value;
}

/**
 * A copy of `object` with each secret replaced by what `map` answers. `place` is `<family>/<name>/<field path>`, an
 * item of a list by its own name; it says where the secret belongs and is what it is sealed for. `object` needs only
 * `name` and `type` to be right; values that are not strings are left as they are.
 */
export function mapSecrets<T extends object>(
  family: Family,
  object: T,
  map: (value: string, place: string) => string,
): T {
  const { name, type } = object as { name?: unknown; type?: unknown };
  const kind = typeof type === 'string' ? kindOf(family, type) : undefined;
  if (!kind) return object;
  return walk(planOf(kind.config), object, `${family}/${String(name)}`, '', (mark, value, place) =>
    mark === 'secret' ? map(value, place) : value,
  ) as T;
}

/**
 * Pointers, relative to the object, of all fields that must not be stored and are there. `before`: an object of the same
 * type that has none; items of its lists that are there again, the very same objects, are not looked at.
 */
export function* writeOnlyFields(family: Family, object: { readonly type: string }, before?: object): Steps<string[]> {
  const plan = planOf(kindOf(family, object.type)!.config);
  const found: string[] = [];
  const visit = (mark: Mark, value: string, _place: string, at: string) => {
    if (mark === 'writeOnly') found.push(at);
    return value;
  };
  if (plan === null || !('fields' in plan)) return found;
  for (const [key, field] of plan.fields) {
    const value = (object as Record<string, unknown>)[key];
    if (!Array.isArray(value) || field === null || !('items' in field)) {
      walk(field, value, '', pointer(key), visit);
      continue;
    }
    const known = (before as Record<string, unknown> | undefined)?.[key];
    const { from, after } = changed(Array.isArray(known) ? known : [], value);
    for (let i = from; i < after; i++) {
      walk(field.items, value[i], '', pointer(key, i), visit);
      if (i % 512 === 511) yield;
    }
  }
  return found;
}
