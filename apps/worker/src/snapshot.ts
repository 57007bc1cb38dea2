/**
 * What this worker runs, on its own disk, so that it starts and serves while the store is away. One file per tenant,
 * replaced as a whole (write, fsync, rename); large blobs beside it, written once. What cannot be read back is one
 * tenant's loss, never the others'. The head is signed and everything hangs on it by hashes, so that who can write to the
 * disk cannot make the worker run anything else. Of a tenant that ran here and does not any more the head alone stays.
 *
 *   <dir>/tenants/<tenant>   SHA-256 of the rest, newline, JSON index, newline, the small blobs one after another
 *   <dir>/blobs/<sha256>     blobs from 16 KiB on
 *   <dir>/listed             there since all tenants of the store had their turn once: the snapshot is whole
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { checkBlob } from '@arcus/control/codec.ts';
import { fault } from '@arcus/control/faults.ts';
import { Head, Manifest } from '@arcus/control/release.ts';
import type { Logger } from 'pino';
import { z } from 'zod';
import { backoff } from './lanes.ts';

/** From here on a blob has a file of its own, so that a small change of a large tenant stays a small write. */
const LARGE = 16 * 1024;
/** Beyond so many bytes waiting, bodies are fetched again instead of kept in memory. */
const MOST_WAITING = 64 * 1024 * 1024;

const Index = z.strictObject({
  schema: z.literal(1),
  tenant: z.string(),
  head: Head,
  manifest: Manifest.nullable().describe('Null: nothing runs, and no older head may be followed'),
  small: z.array(z.tuple([z.string(), z.int().min(0)])).describe('SHA-256 and length of each blob that follows'),
});

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

export interface SnapshotOptions {
  readonly dir: string;
  readonly log: Logger;
  /** Bodies of blobs that the snapshot should have and has not. */
  readonly fetch: (sha256: readonly string[]) => Promise<ReadonlyMap<string, Uint8Array>>;
}

export class Snapshot {
  readonly #options: SnapshotOptions;
  /** Newest wins; null is for a tenant that is gone. */
  readonly #waiting = new Map<string, Saved | null>();
  #waitingBytes = 0;
  /** Large blob -> tenants whose file names it. */
  readonly #users = new Map<string, Set<string>>();
  readonly #largeOf = new Map<string, readonly string[]>();
  #writing: Promise<void> | null = null;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  #held = false;
  /** Writes that failed since the last one that did not. */
  failures = 0;

  private constructor(options: SnapshotOptions) {
    this.#options = options;
  }

  static async open(options: SnapshotOptions): Promise<Snapshot> {
    await mkdir(join(options.dir, 'tenants'), { recursive: true, mode: 0o700 });
    await mkdir(join(options.dir, 'blobs'), { recursive: true, mode: 0o700 });
    return new Snapshot(options);
  }

  /** Every tenant that can be read back; what cannot is told in the log. Forgets blobs that nobody needs. */
  async *load(): AsyncGenerator<Loaded> {
    const names = (await readdir(join(this.#options.dir, 'tenants'))).filter((name) => !name.endsWith('.tmp'));
    // Read a little ahead: the disk works while the last one is compiled.
    const ahead: Promise<Loaded | null>[] = [];
    for (const name of names) {
      ahead.push(this.#load(name));
      if (ahead.length < 16) continue;
      const saved = await ahead.shift()!;
      if (saved) yield saved;
    }
    for (const pending of ahead) {
      const saved = await pending;
      if (saved) yield saved;
    }
    for (const name of await readdir(join(this.#options.dir, 'blobs'))) {
      if (!this.#users.has(name)) await rm(join(this.#options.dir, 'blobs', name), { force: true });
    }
  }

  /** Was a whole list of tenants applied once? Then what is here is all there was. */
  async whole(): Promise<boolean> {
    return readFile(join(this.#options.dir, 'listed')).then(
      () => true,
      () => false,
    );
  }

  /** All tenants of the store had their turn; what they left behind is being written. */
  async markWhole(): Promise<void> {
    await this.flush();
    if (this.#held) return;
    await this.#replace(join(this.#options.dir, 'listed'), []).catch(() => {});
  }

  /** Soon. `saved.blobs` may hold only what is new since the tenant's last save. Nobody waits for it. */
  save(saved: Saved): void {
    const before = this.#waiting.get(saved.tenant);
    const manifest = saved.manifest === 'same' && before ? before.manifest : saved.manifest;
    const blobs = new Map([...(before?.blobs ?? []), ...saved.blobs]);
    const size = sizeOf({ blobs });
    const room = this.#waitingBytes + size <= MOST_WAITING;
    this.#wait(saved.tenant, { ...saved, manifest, blobs: room ? blobs : new Map() });
    this.#start();
  }

  remove(tenant: string): void {
    this.#wait(tenant, null);
    this.#start();
  }

  /** Resolves when all that was saved so far is on disk, or has failed and is in the log. */
  async flush(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  async close(): Promise<void> {
    await this.flush();
    clearTimeout(this.#retry);
    this.#closed = true;
  }

  /** Writes nothing from now on: another process takes the folder over. What is saved waits for `resume`, if that comes. */
  async hold(): Promise<void> {
    this.#held = true;
    await this.flush();
  }

  resume(): void {
    this.#held = false;
    this.#start();
  }

  #start(): void {
    if (this.#closed || this.#held) return;
    // One at a time: fsync must not take the threads that resolve names and check passwords.
    this.#writing ??= this.#drain().finally(() => {
      this.#writing = null;
    });
  }

  /** The newest order for a tenant's file; undefined takes it out of the queue. */
  #wait(tenant: string, saved: Saved | null | undefined): void {
    this.#waitingBytes -= sizeOf(this.#waiting.get(tenant));
    if (saved === undefined) this.#waiting.delete(tenant);
    else this.#waiting.set(tenant, saved);
    this.#waitingBytes += sizeOf(saved);
  }

  async #drain(): Promise<void> {
    const failed = new Map<string, Saved | null>();
    for (;;) {
      const next = this.#waiting.entries().next();
      if (next.done) break;
      const [tenant, saved] = next.value;
      this.#wait(tenant, undefined);
      failed.delete(tenant);
      try {
        fault('apply.before-snapshot');
        if (saved) await this.#write(saved);
        else await this.#forget(tenant);
        fault('apply.after-snapshot');
        this.failures = 0;
      } catch (error) {
        this.failures++;
        if (this.failures === 1) {
          this.#options.log.warn({ err: error, tenant }, 'the snapshot of a tenant cannot be written; trying again');
        }
        // Rather none than an old release: a restart must not bring back what was replaced.
        if (saved?.manifest !== 'same') await rm(this.#file(tenant), { force: true }).catch(() => {});
        failed.set(tenant, saved && { ...saved, blobs: new Map() });
      }
    }
    if (failed.size === 0) return;
    for (const [tenant, saved] of failed) this.#wait(tenant, saved);
    this.#retry ??= setTimeout(
      () => {
        this.#retry = undefined;
        this.#start();
      },
      backoff(this.failures, 1_000),
    );
    this.#retry.unref();
  }

  async #write(saved: Saved): Promise<void> {
    const { tenant, head, blobs } = saved;
    // Without a file there is nothing to add to; the next release brings all of it.
    const kept = saved.manifest === 'same' ? await this.#read(tenant).catch(() => null) : null;
    const manifest = saved.manifest === 'same' ? kept?.index.manifest : saved.manifest;
    if (manifest === undefined) return;
    if (manifest === null) {
      await this.#put(tenant, { schema: 1, tenant, head, manifest, small: [] }, []);
      await this.#use(tenant, []);
      return;
    }
    const wanted = [...new Set(manifest.sections.flatMap((section) => section.blobs))];
    const bodies = new Map(blobs);
    const missing = () => wanted.filter((sha) => !bodies.has(sha) && !this.#users.has(sha));
    if (missing().length > 0) {
      const before = await this.#read(tenant).catch(() => null);
      for (const [sha, body] of before?.small ?? []) bodies.set(sha, body);
    }
    const absent = missing();
    if (absent.length > 0) for (const [sha, body] of await this.#options.fetch(absent)) bodies.set(sha, body);

    const small: [string, number][] = [];
    const parts: Uint8Array[] = [];
    const large: string[] = [];
    for (const sha of wanted) {
      const body = bodies.get(sha);
      if (body && body.length < LARGE) {
        small.push([sha, body.length]);
        parts.push(body);
        continue;
      }
      large.push(sha);
      if (this.#users.has(sha)) continue;
      if (!body) throw new Error(`blob ${sha} is not at hand`);
      await this.#replace(join(this.#options.dir, 'blobs', sha), [body]);
    }
    await this.#put(tenant, { schema: 1, tenant, head, manifest, small }, parts);
    await this.#use(tenant, large);
  }

  async #put(tenant: string, index: z.output<typeof Index>, parts: readonly Uint8Array[]): Promise<void> {
    const first = Buffer.from(`${JSON.stringify(index)}\n`);
    const hash = createHash('sha256').update(first);
    for (const part of parts) hash.update(part);
    await this.#replace(this.#file(tenant), [Buffer.from(`${hash.digest('hex')}\n`), first, ...parts]);
  }

  async #forget(tenant: string): Promise<void> {
    await rm(this.#file(tenant), { force: true });
    await this.#use(tenant, []);
  }

  /** Notes which large blobs a tenant's file names, and drops those that no file names any more. */
  async #use(tenant: string, large: readonly string[]): Promise<void> {
    const before = this.#largeOf.get(tenant) ?? [];
    for (const sha of large) {
      const users = this.#users.get(sha);
      if (users) users.add(tenant);
      else this.#users.set(sha, new Set([tenant]));
    }
    this.#largeOf.set(tenant, large);
    if (large.length === 0) this.#largeOf.delete(tenant);
    for (const sha of before) {
      if (large.includes(sha)) continue;
      const users = this.#users.get(sha);
      users?.delete(tenant);
      if (users?.size !== 0) continue;
      this.#users.delete(sha);
      await rm(join(this.#options.dir, 'blobs', sha), { force: true });
    }
  }

  async #load(tenant: string): Promise<Loaded | null> {
    try {
      const { index, small } = await this.#read(tenant);
      const blobs = new Map(small);
      for (const [sha, body] of small) checkBlob(sha, body);
      const named = index.manifest?.sections.flatMap((section) => section.blobs);
      const large = [...new Set(named)].filter((sha) => !blobs.has(sha));
      for (const sha of large) {
        const body = await readFile(join(this.#options.dir, 'blobs', sha));
        checkBlob(sha, body);
        blobs.set(sha, body);
      }
      await this.#use(tenant, large);
      return { tenant, head: index.head, manifest: index.manifest, blobs };
    } catch (error) {
      this.#options.log.warn({ err: error, tenant }, 'the snapshot of a tenant cannot be read; it waits for the store');
      return null;
    }
  }

  async #read(tenant: string) {
    const file = await readFile(this.#file(tenant));
    const sum = file.subarray(0, 64).toString('latin1');
    if (createHash('sha256').update(file.subarray(65)).digest('hex') !== sum) throw new Error('checksum is wrong');
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

  #file(tenant: string): string {
    return join(this.#options.dir, 'tenants', tenant);
  }

  /** All of the file or none of it, also when the machine loses power. */
  async #replace(path: string, parts: readonly Uint8Array[]): Promise<void> {
    const temporary = `${path}.tmp`;
    const file = await open(temporary, 'w', 0o600);
    try {
      for (const part of parts) {
        await file.write(part);
        fault('apply.amid-snapshot');
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  }
}

function sizeOf(saved: { blobs: ReadonlyMap<string, Uint8Array> } | null | undefined): number {
  let bytes = 0;
  for (const body of saved?.blobs.values() ?? []) bytes += body.length;
  return bytes;
}
