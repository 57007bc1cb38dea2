import type { AnyObject, Config } from './config.ts';
import { families } from './kind.ts';

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
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    for (let i = 0; i < a.length; i++) if (!sameJson(a[i], b[i])) return false;
    return true;
  }
  if (Array.isArray(b)) return false;
  for (const key of Object.keys(a)) {
    if (!sameJson((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key])) return false;
  }
  for (const key of Object.keys(b)) {
    if ((b as Record<string, unknown>)[key] !== undefined && !Object.hasOwn(a, key)) return false;
  }
  return true;
}
