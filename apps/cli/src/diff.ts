import { isDeepStrictEqual } from 'node:util';
import { pointer } from '@arcus/gateway/fault.ts';
import { type Family, families } from '@arcus/gateway/kind.ts';

/** One value that differs. `before` is absent when it is new, `after` when it is gone. */
export interface FieldChange {
  /** JSON Pointer relative to the object. Items of a list of named things go by their name. */
  readonly pointer: string;
  readonly before?: unknown;
  readonly after?: unknown;
}

export interface ObjectChange {
  readonly family: Family;
  readonly name: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** What differs in a changed object. */
  readonly fields: readonly FieldChange[];
}

type Named = { readonly name: string };
type Document = { readonly [F in Family]: readonly unknown[] };

/** What turns `before` into `after`, by object and field, in the order of the families, then by name. */
export function diffConfigs(before: Document, after: Document): ObjectChange[] {
  return families.flatMap((family) => {
    const old = byName(before[family]);
    const next = byName(after[family]);
    const names = [...new Set([...old.keys(), ...next.keys()])].sort();
    return names.flatMap((name): ObjectChange[] => {
      const [a, b] = [old.get(name), next.get(name)];
      if (a === undefined) return [{ family, name, change: 'added', fields: [] }];
      if (b === undefined) return [{ family, name, change: 'removed', fields: [] }];
      const fields = diffValues(a, b, '');
      return fields.length > 0 ? [{ family, name, change: 'changed', fields }] : [];
    });
  });
}

const byName = (list: readonly unknown[]) => new Map(list.map((o) => [(o as Named).name, o]));

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isNamedList = (value: unknown): value is Named[] =>
  Array.isArray(value) && value.every((item) => isObject(item) && typeof item.name === 'string');

function diffValues(a: unknown, b: unknown, at: string): FieldChange[] {
  if (isDeepStrictEqual(a, b)) return [];
  if (isObject(a) && isObject(b)) return diffKeys(a, b, at);
  if (isNamedList(a) && isNamedList(b)) {
    return diffKeys(Object.fromEntries(byName(a)), Object.fromEntries(byName(b)), at);
  }
  if (Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every(isObject) && b.every(isObject)) {
    return a.flatMap((item, i) => diffValues(item, b[i], at + pointer(i)));
  }
  return [{ pointer: at, before: a, after: b }];
}

function diffKeys(a: Record<string, unknown>, b: Record<string, unknown>, at: string): FieldChange[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((key): FieldChange[] => {
    const where = at + pointer(key);
    if (!Object.hasOwn(b, key)) return [{ pointer: where, before: a[key] }];
    if (!Object.hasOwn(a, key)) return [{ pointer: where, after: b[key] }];
    return diffValues(a[key], b[key], where);
  });
}
