/** A tenant's file: SHA-256 of the rest, newline, JSON index, newline, the small blobs one after another. */
import { createHash } from 'node:crypto';
import { sha256 } from '@arcus/control/canonical.ts';
import { Head, Manifest } from '@arcus/control/release.ts';
import { z } from 'zod';

export const Index = z.strictObject({
  schema: z.literal(1),
  tenant: z.string(),
  head: Head,
  manifest: Manifest.nullable().describe('Null: nothing runs, and no older head may be followed'),
  small: z.array(z.tuple([z.string(), z.int().min(0)])).describe('SHA-256 and length of each blob that follows'),
});
export type Index = z.output<typeof Index>;

/** One tenant's release with all that it needs. */
export interface Saved {
  readonly tenant: string;
  readonly head: Head;
  /** 'same': only the head is new. Null: nothing runs here. */
  readonly manifest: Manifest | 'same' | null;
  readonly blobs: ReadonlyMap<string, Uint8Array>;
}

/** As it is read back. */
export interface Loaded extends Saved {
  readonly manifest: Manifest | null;
}

/** The file in parts. */
export function recordOf(index: Index, parts: readonly Uint8Array[]): Uint8Array[] {
  const first = Buffer.from(`${JSON.stringify(index)}\n`);
  const hash = createHash('sha256').update(first);
  for (const part of parts) hash.update(part);
  return [Buffer.from(`${hash.digest('hex')}\n`), first, ...parts];
}

/** A tenant's file, its checksum checked. */
export function readRecord(tenant: string, file: Buffer) {
  const sum = file.subarray(0, 64).toString('latin1');
  if (sha256(file.subarray(65)) !== sum) throw new Error('checksum is wrong');
  const end = file.indexOf(10, 65);
  const index = Index.parse(JSON.parse(file.toString('utf8', 65, end)));
  if (index.tenant !== tenant) throw new Error(`is of tenant ${index.tenant}`);
  let at = end + 1;
  const small = index.small.map(([sha, length]): [string, Uint8Array] => {
    const body = file.subarray(at, at + length);
    at += length;
    return [sha, body];
  });
  return { index, small };
}

/** Bytes of the blobs that come with it. */
export function sizeOf(saved: { blobs: ReadonlyMap<string, Uint8Array> } | null | undefined): number {
  let bytes = 0;
  for (const body of saved?.blobs.values() ?? []) bytes += body.length;
  return bytes;
}
