/** What differs between two configs: by object and field, for programs and for people. */
import { comparing } from './canonical.ts';
import { pointer } from './fault.ts';
import { type Family, families } from './kind.ts';
import { run, type Steps } from './slices.ts';

/** One value that differs. `before` is absent when it is new, `after` when it is gone. Secrets are sealed in both. */
export interface FieldChange {
  /** JSON Pointer relative to the object. Items of a list of named things go by their name. */
  readonly pointer: string;
  readonly before?: unknown;
  readonly after?: unknown;
}

export interface ObjectChange {
  /** `tenant`: the tenant's own fields, under its id. */
  readonly family: Family | 'tenant';
  readonly name: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** What differs in a changed object; of one that came or went: the users that came or went with it. */
  readonly fields: readonly FieldChange[];
}

type Named = { readonly name: string };
type Document = { readonly [F in Family]: readonly unknown[] };

/** What turns `before` into `after`, in the order of the families, then by name. What is the same object costs nothing. */
export const diffConfigs = (before: Document, after: Document): ObjectChange[] => run(diffing(before, after));

/** As `diffConfigs`, with pauses. */
export function* diffing(before: Document, after: Document): Steps<ObjectChange[]> {
  const changes: ObjectChange[] = [];
  for (const family of families) {
    if (before[family] === after[family]) continue;
    const old = byName(before[family]);
    const next = byName(after[family]);
    for (const name of [...new Set([...old.keys(), ...next.keys()])].sort()) {
      const [a, b] = [old.get(name), next.get(name)];
      if (a === undefined) changes.push({ family, name, change: 'added', fields: usersOf(b, 'after') });
      else if (b === undefined) changes.push({ family, name, change: 'removed', fields: usersOf(a, 'before') });
      else {
        const fields: FieldChange[] = [];
        yield* diffValues(a, b, '', fields);
        if (fields.length > 0) changes.push({ family, name, change: 'changed', fields });
      }
      yield;
    }
  }
  return changes;
}

/** What differs in the tenant's own fields; null: there was no tenant. Empty when nothing does. */
export function diffTenants(before: { tenant_id: string } | null, after: { tenant_id: string }): ObjectChange[] {
  const family = 'tenant';
  const name = after.tenant_id;
  if (before === null) return [{ family, name, change: 'added', fields: [] }];
  const fields: FieldChange[] = [];
  run(diffValues(before, after, '', fields));
  return fields.length > 0 ? [{ family, name, change: 'changed', fields }] : [];
}

/** Users are objects of their own to people, and are counted so: a group does not hide them. */
function usersOf(group: unknown, side: 'before' | 'after'): FieldChange[] {
  const users = (group as { static_users?: unknown }).static_users;
  if (!isNamedList(users)) return [];
  return users.map((user) => ({ pointer: pointer('static_users', user.name), [side]: user }));
}

const byName = (list: readonly unknown[]) => new Map(list.map((o) => [(o as Named).name, o]));

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isNamedList = (value: unknown): value is Named[] =>
  Array.isArray(value) && value.every((item) => isObject(item) && typeof item.name === 'string');

function* diffValues(a: unknown, b: unknown, at: string, found: FieldChange[]): Steps<void> {
  if (a === b) return;
  if (isNamedList(a) && isNamedList(b)) return yield* diffNamed(a, b, at, found);
  if (isObject(a) && isObject(b)) {
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
      const where = at + pointer(key);
      if (b[key] === undefined && a[key] !== undefined) found.push({ pointer: where, before: a[key] });
      else if (a[key] === undefined && b[key] !== undefined) found.push({ pointer: where, after: b[key] });
      else yield* diffValues(a[key], b[key], where, found);
    }
    return;
  }
  if (Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every(isObject) && b.every(isObject)) {
    for (let i = 0; i < a.length; i++) yield* diffValues(a[i], b[i], at + pointer(i), found);
    return;
  }
  if (!(yield* comparing(a, b))) found.push({ pointer: at, before: a, after: b });
}

/** Items of this many are looked at without a pause. */
const SLICE = 1000;

function* diffNamed(a: readonly Named[], b: readonly Named[], at: string, found: FieldChange[]): Steps<void> {
  const [old, next] = [byName(a), byName(b)];
  const names = (list: readonly Named[], others: ReadonlyMap<string, unknown>) =>
    list.filter((item) => others.has(item.name)).map((item) => item.name);
  yield;
  if (old.size < a.length || next.size < b.length) {
    // Names that stand there twice tell nothing apart.
    if (!(yield* comparing(a, b))) found.push({ pointer: at, before: a, after: b });
    return;
  }
  for (const [i, item] of a.entries()) {
    if (!next.has(item.name)) found.push({ pointer: at + pointer(item.name), before: item });
    if (i % SLICE === 0) yield;
  }
  for (const [i, item] of b.entries()) {
    const was = old.get(item.name);
    if (was === undefined) found.push({ pointer: at + pointer(item.name), after: item });
    else if (was !== item) yield* diffValues(was, item, at + pointer(item.name), found);
    if (i % SLICE === 0) yield;
  }
  const [before, after] = [names(a, next), names(b, old)];
  yield;
  // The same things in another order: for rules that is a difference.
  if (before.some((name, i) => name !== after[i])) found.push({ pointer: at, before, after });
}

const signs = { added: '+', removed: '-', changed: '~' } as const;

/** A change in lines for people: `~ escapers/out`, and below it `    /proxy_addr: "a" → "b"`. */
export function describeChange({ family, name, change, fields }: ObjectChange): string[] {
  return [`${signs[change]} ${family}/${name}`, ...fields.map((f) => `    ${f.pointer}: ${describeField(f)}`)];
}

function describeField(field: FieldChange): string {
  if (!('before' in field)) return `${show(field.after)} (new)`;
  if (!('after' in field)) return `${show(field.before)} (gone)`;
  return `${show(field.before)} → ${show(field.after)}`;
}

const SHOWN = 120;

function show(value: unknown): string {
  const text = JSON.stringify(value, (_, v) => (typeof v === 'string' && v.startsWith('sealed:') ? '(secret)' : v));
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}
