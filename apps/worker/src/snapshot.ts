/**
 * What this worker runs, on its own disk, so that it starts and serves while the store is away. One file per tenant,
 * replaced as a whole; large blobs beside it, written once. What cannot be read back is one tenant's loss, never the
 * others'. A release is written before it serves, so that a worker that dies does not come back with an older one than
 * its clients saw; that it outlives a power cut (fsync) is seen to later, and until then the one before stays, too. The
 * head is signed and everything hangs on it by hashes, so that who can write to the disk cannot make the worker run
 * anything else. Of a tenant that ran here and does not any more the head alone stays.
 *
 *   <dir>/tenants/<tenant>   SHA-256 of the rest, newline, JSON index, newline, the small blobs one after another
 *   <dir>/tenants/<tenant>.old   the one before, while the new one may not outlive a power cut
 *   <dir>/blobs/<sha256>     blobs from 16 KiB on
 *   <dir>/listed             there since all tenants of the store had their turn once: the snapshot is whole
 */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { checkBlob } from '@arcus/control/codec.ts';
import { fault } from '@arcus/control/faults.ts';
import { makeFolder } from '@arcus/control/folder.ts';
import { slices } from '@arcus/control/turns.ts';
import type { Logger } from 'pino';
import { backoff, Gate } from './lanes.ts';
import { replaceFile, SlabReader, syncFile } from './snapshot-files.ts';
import { type Index, type Loaded, readRecord, recordOf, type Saved, sizeOf } from './snapshot-record.ts';

/** From here on a blob has a file of its own, so that a small change of a large tenant stays a small write. */
const LARGE = 16 * 1024;
/** Beyond so many bytes waiting, bodies are fetched again instead of kept in memory. */
const MOST_WAITING = 64 * 1024 * 1024;
/** A release does not wait longer for a slow disk, ms. */
const PATIENCE = 250;
/** So many small blobs that came lately are kept, and how large, in bytes, they may be. */
const RECENT = 256;
const SHARED = 4 * 1024;
/** Large blobs that are read at once. */
const AHEAD = 16;

/** What is left to do once a tenant's file is written. */
interface Unsafe {
  /** Files that a power cut may still take. */
  readonly sync: Set<string>;
  /** Blobs that only the file before names. */
  readonly drop: Set<string>;
  /** The file before may still be there. */
  old: boolean;
}

/** Blobs that have to be fetched first. */
class Absent extends Error {
  readonly blobs: readonly string[];
  constructor(blobs: readonly string[]) {
    super(`blob ${blobs[0]} is not at hand`);
    this.blobs = blobs;
  }
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
  readonly #unsafe = new Map<string, Unsafe>();
  /** Files are changed one after another, which takes no time on a disk that works: nothing here waits for fsync. */
  readonly #turn = new Gate(1);
  /** A release waited in vain for the disk: the next ones do not, until it works again. */
  #slow = false;
  /** Number of the newest head that was to be written of each tenant. */
  readonly #newest = new Map<string, number>();
  /** Large blob -> tenants whose file names it. */
  readonly #users = new Map<string, Set<string>>();
  readonly #largeOf = new Map<string, readonly string[]>();
  /** Tenants that have a file; null when another process may have made some. */
  #files: Set<string> | null = new Set();
  /** Small blobs that came lately: what many tenants share is not in what each of them brings. */
  readonly #recent = new Map<string, Uint8Array>();
  /** What is saved waits: see `gather`. */
  #gathering = false;
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
    makeFolder(join(options.dir, 'tenants'), 0o700);
    makeFolder(join(options.dir, 'blobs'), 0o700);
    const snapshot = new Snapshot(options);
    for (const name of await readdir(join(options.dir, 'tenants'))) snapshot.#files?.add(name.replace(/\.old$/, ''));
    return snapshot;
  }

  /** Every tenant that can be read back; what cannot is told in the log. Forgets blobs that nobody needs. */
  async *load(): AsyncGenerator<Loaded> {
    const names = new Set<string>();
    for (const name of await readdir(join(this.#options.dir, 'tenants'))) {
      if (name.endsWith('.tmp')) await rm(join(this.#options.dir, 'tenants', name), { force: true }).catch(() => {});
      else names.add(name.replace(/\.old$/, ''));
    }
    const breathe = slices();
    const reader = new SlabReader();
    for (const name of names) {
      const saved = await this.#load(name, reader);
      if (saved) yield saved;
      await breathe();
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

  /**
   * What is saved from now on is written when all tenants had their turn, see `markWhole`: who starts with thousands of
   * them has better things to do first.
   */
  gather(): void {
    this.#gathering = true;
  }

  /** All tenants of the store had their turn; what they left behind is being written. */
  async markWhole(): Promise<void> {
    await this.flush();
    if (this.#held) return;
    await this.#turn.run(() => replaceFile(join(this.#options.dir, 'listed'), [])).catch(() => {});
  }

  /**
   * Before what is saved serves: whoever starts after a crash finds it. Never fails, and takes no longer than PATIENCE:
   * what is not written then is tried again.
   */
  async put(saved: Saved): Promise<void> {
    if (this.#closed || this.#held || this.#slow || this.#waiting.has(saved.tenant)) return this.save(saved);
    this.#newest.set(saved.tenant, saved.head.seq);
    const written = this.#fetchAndWrite(saved)
      .then(
        () => this.#start(),
        async () => {
          // The queue tries again, and tells.
          await this.#drop(saved.tenant);
          if (this.#isNewest(saved)) this.save(saved);
        },
      )
      .finally(() => {
        this.#slow = false;
      });
    const timer = new AbortController();
    const late = wait(PATIENCE, true, { signal: timer.signal, ref: false }).catch(() => false);
    const slow = await Promise.race([written.then(() => false), late]);
    timer.abort();
    if (slow) this.#slow = true;
  }

  /** Soon. `saved.blobs` may hold only what is new since the tenant's last save. Nobody waits for it. */
  save(saved: Saved): void {
    this.#newest.set(saved.tenant, saved.head.seq);
    const before = this.#waiting.get(saved.tenant);
    const manifest = saved.manifest === 'same' && before ? before.manifest : saved.manifest;
    const blobs = new Map([...(before?.blobs ?? []), ...saved.blobs]);
    const size = sizeOf({ blobs });
    const room = this.#waitingBytes + size <= MOST_WAITING;
    this.#wait(saved.tenant, { ...saved, manifest, blobs: room ? blobs : new Map() });
    this.#start();
  }

  remove(tenant: string): void {
    this.#newest.delete(tenant);
    this.#wait(tenant, null);
    this.#start();
  }

  /** Resolves when all that was saved so far is on disk, or has failed and is in the log. */
  async flush(): Promise<void> {
    this.#gathering = false;
    await this.#turn.run(async () => {});
    this.#start();
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
    this.#files = null;
    this.#start();
  }

  #start(): void {
    if (this.#closed || this.#held) return;
    if (this.#gathering && this.#waitingBytes < MOST_WAITING / 2) return;
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
      if (next.done) {
        if (this.#unsafe.size === 0) break;
        await this.#makeSafe();
        continue;
      }
      const [tenant, saved] = next.value;
      this.#wait(tenant, undefined);
      failed.delete(tenant);
      try {
        if (saved) await this.#fetchAndWrite(saved);
        else await this.#turn.run(() => this.#forget(tenant));
        this.failures = 0;
      } catch (error) {
        this.failures++;
        if (this.failures === 1) {
          this.#options.log.warn({ err: error, tenant }, 'the snapshot of a tenant cannot be written; trying again');
        }
        if (saved?.manifest !== 'same') await this.#drop(tenant);
        failed.set(tenant, saved && { ...saved, blobs: new Map() });
      }
    }
    if (failed.size === 0) return;
    for (const [tenant, saved] of failed) if (!saved || this.#isNewest(saved)) this.#wait(tenant, saved);
    if (this.#waiting.size === 0) return;
    this.#retry ??= setTimeout(
      () => {
        this.#retry = undefined;
        this.#start();
      },
      backoff(this.failures, 1_000),
    );
    this.#retry.unref();
  }

  #isNewest({ tenant, head }: Saved): boolean {
    return this.#newest.get(tenant) === head.seq;
  }

  /** Rather none than an old release: a restart must not bring back what was replaced. */
  async #drop(tenant: string): Promise<void> {
    this.#files?.delete(tenant);
    for (const file of [this.#file(tenant), `${this.#file(tenant)}.old`])
      await rm(file, { force: true }).catch(() => {});
  }

  async #fetchAndWrite(saved: Saved): Promise<void> {
    try {
      await this.#turn.run(() => this.#write(saved));
    } catch (error) {
      if (!(error instanceof Absent)) throw error;
      const blobs = new Map([...saved.blobs, ...(await this.#options.fetch(error.blobs))]);
      await this.#turn.run(() => this.#write({ ...saved, blobs }));
    }
  }

  /** What was written outlives a power cut from here on; what it replaced goes. */
  async #makeSafe(): Promise<void> {
    const [tenant, unsafe] = this.#unsafe.entries().next().value!;
    this.#unsafe.delete(tenant);
    fault('apply.before-sync');
    try {
      for (const path of unsafe.sync) await syncFile(path);
    } catch (error) {
      // Replaced or removed meanwhile: whoever did so takes care of it.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#options.log.warn({ err: error, tenant }, 'the snapshot of a tenant may not outlive a power cut');
        return;
      }
    }
    await this.#turn.run(async () => {
      const newer = this.#unsafe.get(tenant);
      for (const sha of unsafe.drop) {
        if (newer) newer.drop.add(sha);
        else if (!this.#users.has(sha)) await rm(join(this.#options.dir, 'blobs', sha), { force: true });
      }
      if (newer) newer.old ||= unsafe.old;
      else if (unsafe.old) await rm(`${this.#file(tenant)}.old`, { force: true });
    });
  }

  async #write(saved: Saved): Promise<void> {
    const { tenant, head, blobs } = saved;
    fault('apply.before-snapshot');
    // Without a file there is nothing to add to; the next release brings all of it.
    const kept = saved.manifest === 'same' ? await this.#read(tenant).catch(() => null) : null;
    const manifest = saved.manifest === 'same' ? kept?.index.manifest : saved.manifest;
    if (manifest === undefined) return;
    if (manifest === null) {
      await this.#put(tenant, { schema: 1, tenant, head, manifest, small: [] }, []);
      this.#use(tenant, []);
      return;
    }
    const wanted = [...new Set(manifest.sections.flatMap((section) => section.blobs))];
    const bodies = new Map(blobs);
    for (const sha of wanted) {
      const body = bodies.get(sha) ?? this.#recent.get(sha);
      if (!body || body.length > SHARED) continue;
      bodies.set(sha, body);
      this.#recent.delete(sha);
      this.#recent.set(sha, body);
    }
    while (this.#recent.size > RECENT) this.#recent.delete(this.#recent.keys().next().value!);
    const missing = () => wanted.filter((sha) => !bodies.has(sha) && !this.#users.has(sha));
    if (missing().length > 0 && this.#has(tenant)) {
      const before = await this.#read(tenant).catch(() => null);
      for (const [sha, body] of before?.small ?? []) bodies.set(sha, body);
    }
    const absent = missing();
    if (absent.length > 0) throw new Absent(absent);

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
      const path = join(this.#options.dir, 'blobs', sha);
      await replaceFile(path, [body!]);
      this.#unsafeOf(tenant).sync.add(path);
    }
    await this.#put(tenant, { schema: 1, tenant, head, manifest, small }, parts);
    this.#use(tenant, large);
  }

  async #put(tenant: string, index: Index, parts: readonly Uint8Array[]): Promise<void> {
    const file = this.#file(tenant);
    const unsafe = this.#unsafeOf(tenant);
    unsafe.old ||= this.#has(tenant);
    await replaceFile(file, recordOf(index, parts), unsafe.old ? `${file}.old` : undefined);
    this.#files?.add(tenant);
    unsafe.sync.add(file);
    fault('apply.after-snapshot');
  }

  #unsafeOf(tenant: string): Unsafe {
    let unsafe = this.#unsafe.get(tenant);
    if (!unsafe) {
      unsafe = { sync: new Set(), drop: new Set(), old: false };
      this.#unsafe.set(tenant, unsafe);
    }
    return unsafe;
  }

  async #forget(tenant: string): Promise<void> {
    this.#files?.delete(tenant);
    for (const file of [this.#file(tenant), `${this.#file(tenant)}.old`]) await rm(file, { force: true });
    this.#use(tenant, []);
  }

  /** Notes which large blobs a tenant's file names; those that no file names any more go when the new file is safe. */
  #use(tenant: string, large: readonly string[]): void {
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
      this.#unsafeOf(tenant).drop.add(sha);
    }
  }

  async #load(tenant: string, reader: SlabReader): Promise<Loaded | null> {
    const file = this.#file(tenant);
    try {
      const { index, blobs, large } = await this.#whole(tenant, file, reader).catch((error) =>
        // A power cut took the new one; the one before it was safe.
        this.#whole(tenant, `${file}.old`, reader).catch(() => Promise.reject(error)),
      );
      this.#use(tenant, large);
      return { tenant, head: index.head, manifest: index.manifest, blobs };
    } catch (error) {
      this.#options.log.warn({ err: error, tenant }, 'the snapshot of a tenant cannot be read; it waits for the store');
      return null;
    }
  }

  /** A tenant's file with all blobs that it names. */
  async #whole(tenant: string, file: string, reader: SlabReader) {
    const { index, small } = readRecord(tenant, reader.read(file));
    const blobs = new Map(small);
    for (const [sha, body] of small) checkBlob(sha, body);
    const named = index.manifest?.sections.flatMap((section) => section.blobs);
    const large = [...new Set(named)].filter((sha) => !blobs.has(sha));
    for (let i = 0; i < large.length; i += AHEAD) {
      const some = large.slice(i, i + AHEAD);
      const bodies = await Promise.all(some.map((sha) => readFile(join(this.#options.dir, 'blobs', sha))));
      for (const [n, sha] of some.entries()) {
        checkBlob(sha, bodies[n]!);
        blobs.set(sha, bodies[n]!);
      }
    }
    return { index, blobs, large };
  }

  async #read(tenant: string) {
    return readRecord(tenant, await readFile(this.#file(tenant)));
  }

  /** Has, or may have, a file. */
  #has(tenant: string): boolean {
    return this.#files === null || this.#files.has(tenant);
  }

  #file(tenant: string): string {
    return join(this.#options.dir, 'tenants', tenant);
  }
}
