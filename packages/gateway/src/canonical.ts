import type { AnyObject, Config } from './config.ts';
import { families } from './kind.ts';
import { run, type Steps } from './slices.ts';

const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

/** The same config in canonical order: objects by name (code units) within a family. */
export function canonicalOrder(config: Config): Config {
  const sorted = Object.fromEntries(families.map((f) => [f, [...(config[f] as AnyObject[])].sort(byName)]));
  return sorted as unknown as Config;
}

/** JSON with the keys of each object sorted by code units: equal values give equal text (after RFC 8785). */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, v) =>
    typeof v === 'object' && v !== null && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : v,
  );
}

/** Are two JSON values equal? The order of an object's keys does not matter; undefined is the same as absent. */
export function sameJson(a: unknown, b: unknown): boolean {
  return run(comparing(a, b));
}

/** As `sameJson`, with pauses. */
export function* comparing(a: unknown, b: unknown): Steps<boolean> {
  const stack: unknown[] = [a, b];
  for (let n = 0; stack.length > 0; n++) {
    if (n % 4096 === 4095) yield;
    const right = stack.pop();
    const left = stack.pop();
    if (left === right) continue;
    if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
    if (Array.isArray(left) !== Array.isArray(right)) return false;
    if (Array.isArray(left)) {
      if (left.length !== (right as unknown[]).length) return false;
      for (let i = 0; i < left.length; i++) {
        if (left[i] !== (right as unknown[])[i]) stack.push(left[i], (right as unknown[])[i]);
      }
      continue;
    }
    const [l, r] = [left as Record<string, unknown>, right as Record<string, unknown>];
    for (const key of Object.keys(l)) if (l[key] !== r[key]) stack.push(l[key], r[key]);
    for (const key of Object.keys(r)) if (r[key] !== undefined && !Object.hasOwn(l, key)) return false;
  }
  return true;
}
