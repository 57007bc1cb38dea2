/** One tenant's release as it lies on a worker's disk, in a file of its own or among others. */
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

/** SHA-256 of the rest, newline, JSON index, newline, the small blobs one after another; in pieces. */
export function recordOf(index: Index, parts: readonly Uint8Array[]): Uint8Array[] {
  const first = Buffer.from(`${JSON.stringify(index)}\n`);
  const hash = createHash('sha256').update(first);
  for (const part of parts) hash.update(part);
  return [Buffer.from(`${hash.digest('hex')}\n`), first, ...parts];
}

/** Throws when it is not whole, or another tenant's. */
export function parseRecord(tenant: string, record: Buffer) {
  const sum = record.toString('latin1', 0, 64);
  if (sha256(record.subarray(65)) !== sum) throw new Error('checksum is wrong');
  const end = record.indexOf(10, 65);
  const index = Index.parse(JSON.parse(record.toString('utf8', 65, end)));
  if (index.tenant !== tenant) throw new Error(`is of tenant ${index.tenant}`);
  let at = end + 1;
  const small = index.small.map(([sha, length]): [string, Uint8Array] => {
    const body = record.subarray(at, at + length);
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

/** All blobs that a release needs, by name. */
export function blobsOf({ manifest }: { manifest: Saved['manifest'] }): string[] {
  if (manifest === null || manifest === 'same') return [];
  return [...new Set(manifest.sections.flatMap((section) => section.blobs))];
}

/** A release that can be written without looking anywhere. */
export interface Whole {
  readonly saved: Saved;
  readonly index: Index;
  readonly parts: readonly Uint8Array[];
}

/** With `more` blobs than it brings; null when it still lacks some, or has one of `large` bytes or more. */
export function wholeOf(saved: Saved, more: ReadonlyMap<string, Uint8Array>, large: number): Whole | null {
  const { tenant, head, manifest, blobs } = saved;
  if (manifest === null || manifest === 'same') return null;
  const names = blobsOf(saved);
  const parts = names.flatMap((name) => blobs.get(name) ?? more.get(name) ?? []);
  if (parts.length < names.length || parts.some((part) => part.length >= large)) return null;
  const small = names.map((name, i): [string, number] => [name, parts[i]!.length]);
  return { saved, index: { schema: 1, tenant, head, manifest, small }, parts };
}

/** Which tenants' records name which large blobs. */
export class BlobUsers {
  readonly #users = new Map<string, Set<string>>();
  readonly #blobs = new Map<string, readonly string[]>();

  has(sha: string): boolean {
    return this.#users.has(sha);
  }

  /** The tenant's record names these now; answers those that no record names any more. */
  use(tenant: string, blobs: readonly string[]): string[] {
    const before = this.#blobs.get(tenant) ?? [];
    for (const sha of blobs) {
      const users = this.#users.get(sha);
      if (users) users.add(tenant);
      else this.#users.set(sha, new Set([tenant]));
    }
    if (blobs.length > 0) this.#blobs.set(tenant, blobs);
    else this.#blobs.delete(tenant);
    return before.filter((sha) => {
      if (blobs.includes(sha)) return false;
      const users = this.#users.get(sha);
      users?.delete(tenant);
      return users?.size === 0 && this.#users.delete(sha);
    });
  }
}
