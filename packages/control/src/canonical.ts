/** One spelling for each JSON value, so that equal values have equal hashes. */
import { hash } from 'node:crypto';

/**
 * JSON without spaces and with the keys of each object sorted by code unit (as RFC 8785 §3.2.3). As JSON.stringify:
 * undefined fields are left out, undefined in a list is null. Throws on what JSON can't hold.
 */
export function canonical(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'number':
      if (!Number.isFinite(value)) throw new TypeError(`${value} is not a JSON value`);
      return Object.is(value, -0) ? '0' : String(value);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      if (value === null) return 'null';
      return Array.isArray(value) ? list(value) : record(value as Record<string, unknown>);
    case 'undefined':
      return 'null';
    default:
      throw new TypeError(`a ${typeof value} is not a JSON value`);
  }
}

function list(values: readonly unknown[]): string {
  if (values.length === 0) return '[]';
  let out = '[';
  for (let i = 0; i < values.length; i++) out += (i === 0 ? '' : ',') + canonical(values[i]);
  return `${out}]`;
}

function record(value: Record<string, unknown>): string {
  let out = '{';
  for (const key of Object.keys(value).sort()) {
    const field = value[key];
    if (field === undefined) continue;
    if (out.length > 1) out += ',';
    out += `${JSON.stringify(key)}:${canonical(field)}`;
  }
  return `${out}}`;
}

/** Lower-case hex. Text is hashed as UTF-8. */
export function sha256(data: string | Uint8Array): string {
  return hash('sha256', data, 'hex');
}

/** SHA-256 of a value's canonical JSON, hex. */
export function canonicalHash(value: unknown): string {
  return sha256(canonical(value));
}
