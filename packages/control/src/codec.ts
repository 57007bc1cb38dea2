/** Bytes of a store <-> checked values. */
import type { z } from 'zod';
import { canonical, sha256 } from './canonical.ts';
import { Head, Manifest, SCHEMA } from './release.ts';
import { StoreCorrupt } from './store.ts';

/** Bytes of the largest head: sixteen places of sixteen labels each are half of it. What is larger is none of ours. */
export const MOST_HEAD = 64 * 1024;
/** Characters of a reason. It may quote what somebody else wrote, and is told on: in logs, and to the store. */
const MOST_REASON = 500;

/** A value's canonical JSON. */
export function encode(value: unknown): string {
  return canonical(value);
}

/** Throws StoreCorrupt, with `where` in it, when the bytes are not what `schema` asks for. */
export function decode<T extends z.ZodType>(schema: T, bytes: Uint8Array | string, where: string): z.output<T> {
  let value: unknown;
  try {
    value = JSON.parse(typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString('utf8'));
  } catch {
    throw new StoreCorrupt(`${where} is not JSON`);
  }
  const found = (value as { schema?: unknown } | null)?.schema;
  if (typeof found === 'number' && found > SCHEMA) throw new StoreCorrupt(`${where} has the newer schema ${found}`);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new StoreCorrupt(brief(`${where}: ${issue?.path.join('/') || 'value'}: ${issue?.message}`, MOST_REASON));
}

/** The text, or its beginning and "…": `most` characters. */
export function brief(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

export function decodeManifest(bytes: Uint8Array, tenant: string, version: number): Manifest {
  const where = `manifest ${version} of ${tenant}`;
  const manifest = decode(Manifest, bytes, where);
  if (manifest.tenant !== tenant || manifest.version !== version) {
    throw new StoreCorrupt(`${where} is of ${manifest.tenant} ${manifest.version}`);
  }
  return manifest;
}

/** A head, or why it is none. `bytes`: null when they are more than can be had. */
export function readHead(bytes: Uint8Array | string | null, tenant: string): { head: Head } | { reason: string } {
  const size = bytes === null ? Number.POSITIVE_INFINITY : Buffer.byteLength(bytes);
  if (bytes === null || size > MOST_HEAD) {
    const found = bytes === null ? '' : `${size} bytes, `;
    return { reason: `head of ${tenant} is too large: ${found}at most ${MOST_HEAD}` };
  }
  try {
    return { head: decode(Head, bytes, `head of ${tenant}`) };
  } catch (error) {
    return { reason: (error as Error).message };
  }
}

/** Throws StoreCorrupt unless `body` has this hash. */
export function checkBlob(name: string, body: Uint8Array): void {
  if (sha256(body) !== name) throw new StoreCorrupt(`blob ${name} was altered`);
}
