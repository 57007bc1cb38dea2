/** What a worker says of its tenants, in the room that a store has for it. */
import { brief, encode } from './codec.ts';
import type { TenantStatus } from './release.ts';

/** Bytes of one status: a hundred reasons of usual length, and far less than any store takes. */
const MOST_STATUS = 32 * 1024;

/**
 * A status as it is stored. When it is larger than `most` bytes, reasons of the refusal are cut, and then left out: who
 * runs what, and refused what, stays.
 */
export function statusText(status: TenantStatus, most: number = MOST_STATUS): string {
  let text = encode(status);
  for (const issues of [100, 10, 1, 0]) {
    if (!status.refused || Buffer.byteLength(text) <= most) break;
    text = encode(withIssues(status, status.refused, issues));
  }
  return text;
}

/** Statuses of several tenants, each a text of `statusText`, as one of `most` bytes. No long one takes others' room. */
export function statusTexts(statuses: ReadonlyMap<string, string>, most: number): string {
  const whole = joined(statuses);
  if (Buffer.byteLength(whole) <= most) return whole;
  const share = Math.floor(most / statuses.size);
  const cut = [...statuses].map(([tenant, text]): [string, string] => {
    const left = share - Buffer.byteLength(`"${tenant}":,`);
    return [tenant, Buffer.byteLength(text) <= left ? text : statusText(JSON.parse(text) as TenantStatus, left)];
  });
  return joined(cut);
}

function joined(statuses: Iterable<readonly [string, string]>): string {
  return `{${[...statuses].map(([tenant, text]) => `${JSON.stringify(tenant)}:${text}`).join()}}`;
}

function withIssues(status: TenantStatus, refused: NonNullable<TenantStatus['refused']>, most: number): TenantStatus {
  const issues = refused.issues.slice(0, most).map(({ pointer, message, code }) => ({
    pointer: brief(pointer, 200),
    message: brief(message, 200),
    code: brief(code, 64),
  }));
  return { ...status, refused: { version: refused.version, issues } };
}
