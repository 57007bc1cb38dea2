/**
 * What this worker runs, on its own disk, so that it starts and serves while the store is away. One file per tenant,
 * replaced as a whole; large blobs beside it, written once. What cannot be read back is one tenant's loss, never the
 * others'. A release is written before it serves, so that a worker that dies does not come back with an older one than
 * its clients saw; that it outlives a power cut (fsync) is seen to later, and until then the one before stays, too. The head is signed and everything hangs on it by hashes, so that who can write to the
 * disk cannot make the worker run anything else. Of a tenant that ran here and does not any more the head alone stays.
 *
 *   <dir>/tenants/<tenant>   SHA-256 of the rest, newline, JSON index, newline, the small blobs one after another
 *   <dir>/tenants/<tenant>.old   the one before, while the new one may not outlive a power cut
 *   <dir>/packs/<number>     the same of many tenants that did not change for a while (snapshot-packs.ts)
 *   <dir>/blobs/<sha256>     blobs from 16 KiB on
 *   <dir>/listed             there since all tenants of the store had their turn once: the snapshot is whole
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { slices } from '@arcus/control/canonical.ts';
import { checkBlob } from '@arcus/control/codec.ts';
import { fault } from '@arcus/control/faults.ts';
import type { Logger } from 'pino';
import { backoff, Gate } from './lanes.ts';
import { replaceFile, syncFile } from './snapshot-files.ts';
import { Packs } from './snapshot-packs.ts';
import {
  BlobUsers,
  blobsOf,
  type Index,
  type Loaded,
  parseRecord,
  recordOf,
  type Saved,
  sizeOf,
  type Whole,
  wholeOf,
} from './snapshot-record.ts';

/** From here on a blob has a file of its own, so that a small change of a large tenant stays a small write. */
const LARGE = 16 * 1024;
/** Beyond so many bytes waiting, bodies are fetched again instead of kept in memory. */
const MOST_WAITING = 64 * 1024 * 1024;
/** From so many waiting tenants on they are written together. */
const MANY = 128;
/** In one pack, at most. */
const PACK = 1024;
/** So many files of single tenants, and so many packs, are put together. */
const FILES = 512;
const PACKS = 16;
/** Small blobs that are remembered. */
const RECENT = 256;
/** What is saved before the first list is through may wait so long, ms. */
const GATHER_MS = 1_000;
/** A release does not wait longer for a slow disk, ms. */
const PATIENCE = 250;

/** What is left to do once a tenant's file is written. */
interface Unsafe {
  /** Files that a power cut may still take. */
  readonly sync: Set<string>;
  /** Blobs that only the file before names. */
  readonly drop: Set<string>;
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
  readonly #packs: Packs;
  /** Tenants with a file of their own. */
  readonly #files: Set<string>;
  /** While files are put together: tenants that were written meanwhile. */
  #touched: Set<string> | null = null;
  /** Small blobs that had to be fetched: what many tenants share is not in what each of them brings. */
  readonly #recent = new Map<string, Uint8Array>();
  #gathering = true;
  #gatherer: NodeJS.Timeout | undefined;
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
  /** Who needs which large blobs. */
  readonly #users = new BlobUsers();
  #writing: Promise<void> | null = null;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  #held = false;
  /** Writes that failed since the last one that did not. */
  failures = 0;

  private constructor(options: SnapshotOptions, packs: Packs, files: Set<string>) {
    this.#options = options;
    this.#packs = packs;
    this.#files = files;
  }

  static async open(options: SnapshotOptions): Promise<Snapshot> {
    await mkdir(join(options.dir, 'tenants'), { recursive: true, mode: 0o700 });
    await mkdir(join(options.dir, 'blobs'), { recursive: true, mode: 0o700 });
    const files = new Set<string>();
    for (const name of await readdir(join(options.dir, 'tenants'))) {
      if (name.endsWith('.tmp')) await rm(join(options.dir, 'tenants', name), { force: true }).catch(() => {});
      else files.add(name.replace(/\.old$/, ''));
    }
    return new Snapshot(options, await Packs.open(join(options.dir, 'packs'), options.log), files);
  }

  /** Every tenant that can be read back; what cannot is told in the log. Forgets blobs that nobody needs. */
  async *load(): AsyncGenerator<Loaded> {
    const seen = new Set<string>();
    // Read a little ahead: the disk works while the last one is compiled.
    const ahead: Promise<Loaded | null>[] = [];
    for (const name of this.#files) {
      ahead.push(this.#load(name));
      if (ahead.length < 16) continue;
      const saved = await ahead.shift()!;
      if (saved) yield saved;
      if (saved) seen.add(saved.tenant);
    }
    for (const pending of ahead) {
      const saved = await pending;
      if (saved) yield saved;
      if (saved) seen.add(saved.tenant);
    }
    // Also of a tenant whose own file a power cut took: as long as that was not safe, its record here was not struck.
    const breathe = slices();
    for await (const { tenant, record } of this.#packs.read(seen)) {
      await breathe();
      const saved = record && (await this.#load(tenant, record));
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
    this.#gathering = false;
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
    await this.#turn.run(async () => {});
    this.#start(true);
    while (this.#writing) await this.#writing;
  }

  async close(): Promise<void> {
    await this.flush();
    clearTimeout(this.#retry);
    clearTimeout(this.#gatherer);
    this.#closed = true;
  }

  /** Writes nothing from now on: another process takes the folder over. What is saved waits for `resume`, if that comes. */
  async hold(): Promise<void> {
    this.#start(true);
    this.#held = true;
    await this.flush();
  }

  resume(): void {
    this.#held = false;
    this.#start();
  }

  /** While the first list of tenants comes in, many are gathered for one file; nobody waits long for that. */
  #start(now = false): void {
    if (this.#closed || this.#held) return;
    if (!now && this.#gathering && this.#waiting.size < PACK) {
      this.#gatherer ??= setTimeout(() => this.#start(true), GATHER_MS);
      this.#gatherer.unref();
      return;
    }
    clearTimeout(this.#gatherer);
    this.#gatherer = undefined;
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
    /** After an attempt that found too few to write together, so many go one by one. */
    let alone = 0;
    for (;;) {
      if (alone > 0) alone--;
      else if (this.#waiting.size >= MANY && !(await this.#writeMany())) alone = MANY;
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
    if (failed.size === 0) return this.#tidy();
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
    for (const file of [this.#file(tenant), `${this.#file(tenant)}.old`])
      await rm(file, { force: true }).catch(() => {});
    this.#files.delete(tenant);
    this.#touched?.add(tenant);
    await this.#packs.strike(tenant).catch(() => {});
  }

  async #fetchAndWrite(saved: Saved): Promise<void> {
    try {
      await this.#turn.run(() => this.#write(saved));
    } catch (error) {
      if (!(error instanceof Absent)) throw error;
      const blobs = new Map([...saved.blobs, ...(await this.#fetch(error.blobs))]);
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
      if (newer) return;
      await rm(`${this.#file(tenant)}.old`, { force: true });
      await this.#packs.strike(tenant);
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
    const wanted = blobsOf({ manifest });
    const bodies = new Map(blobs);
    const missing = () => wanted.filter((sha) => !bodies.has(sha) && !this.#users.has(sha));
    if (missing().length > 0) {
      const before = await this.#read(tenant).catch(() => null);
      for (const [sha, body] of before?.small ?? []) bodies.set(sha, body);
    }
    for (const sha of missing()) {
      const body = this.#recent.get(sha);
      if (body) bodies.set(sha, body);
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
    await replaceFile(file, recordOf(index, parts), `${file}.old`);
    this.#files.add(tenant);
    this.#touched?.add(tenant);
    this.#unsafeOf(tenant).sync.add(file);
    fault('apply.after-snapshot');
  }

  #unsafeOf(tenant: string): Unsafe {
    let unsafe = this.#unsafe.get(tenant);
    if (!unsafe) {
      unsafe = { sync: new Set(), drop: new Set() };
      this.#unsafe.set(tenant, unsafe);
    }
    return unsafe;
  }

  async #forget(tenant: string): Promise<void> {
    for (const file of [this.#file(tenant), `${this.#file(tenant)}.old`]) await rm(file, { force: true });
    this.#files.delete(tenant);
    this.#touched?.add(tenant);
    await this.#packs.strike(tenant);
    this.#use(tenant, []);
  }

  /** A first boot: those who wait and have all that they need with them go into one file. What fails goes alone: false. */
  async #writeMany(): Promise<boolean> {
    const whole: Whole[] = [];
    for (const saved of this.#waiting.values()) {
      if (!saved || this.#files.has(saved.tenant)) continue;
      const absent = blobsOf(saved).filter((name) => !saved.blobs.has(name) && !this.#recent.has(name));
      if (absent.length > 0) await this.#fetch(absent).catch(() => {});
      const one = wholeOf(saved, this.#recent, LARGE);
      if (one) whole.push(one);
      if (whole.length === PACK) break;
    }
    if (whole.length < MANY) return false;
    const breathe = slices();
    const records = async function* () {
      for (const { index, parts } of whole) {
        await breathe();
        yield [index.tenant, Buffer.concat(recordOf(index, parts))] as const;
      }
    };
    fault('apply.before-snapshot');
    try {
      const draft = await this.#packs.draft(records());
      await this.#turn.run(() =>
        this.#packs.adopt(
          draft,
          whole.map(({ index }) => index.tenant).filter((tenant) => this.#files.has(tenant)),
        ),
      );
    } catch {
      return false;
    }
    for (const { saved } of whole) {
      // What came meanwhile is written after it.
      if (this.#waiting.get(saved.tenant) === saved) this.#wait(saved.tenant, undefined);
      if (!this.#files.has(saved.tenant)) this.#use(saved.tenant, []);
    }
    fault('apply.after-snapshot');
    return true;
  }

  async #fetch(names: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>> {
    const bodies = await this.#options.fetch(names);
    for (const [sha, body] of bodies) {
      if (body.length < LARGE) this.#recent.set(sha, body);
      if (this.#recent.size > RECENT) this.#recent.delete(this.#recent.keys().next().value!);
    }
    return bodies;
  }

  /** Files of single tenants become a pack when they are many: ten thousand of them would make for a slow start. */
  async #tidy(): Promise<void> {
    const { numbers, tenants } = this.#packs;
    if (this.#files.size < Math.max(FILES, tenants / 4) && numbers.length < PACKS) return;
    const files = [...this.#files];
    const touched = new Set<string>();
    this.#touched = touched;
    const records = async function* (snapshot: Snapshot) {
      const seen = new Set<string>(files);
      for (const tenant of files) yield [tenant, await readFile(snapshot.#file(tenant))] as const;
      for await (const { tenant, record } of snapshot.#packs.read(seen)) if (record) yield [tenant, record] as const;
    };
    try {
      const draft = await this.#packs.draft(records(this));
      await this.#turn.run(async () => {
        await this.#packs.adopt(draft, touched, numbers);
        for (const tenant of files) {
          if (touched.has(tenant)) continue;
          await rm(this.#file(tenant), { force: true });
          this.#files.delete(tenant);
        }
      });
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the snapshot could not be tidied; it is as good as before');
    } finally {
      this.#touched = null;
    }
  }

  /** Large blobs that no file names any more go when the new file is safe. */
  #use(tenant: string, large: readonly string[]): void {
    for (const sha of this.#users.use(tenant, large)) this.#unsafeOf(tenant).drop.add(sha);
  }

  /** `packed`: not from its file, but this record. */
  async #load(tenant: string, packed?: Buffer): Promise<Loaded | null> {
    const file = this.#file(tenant);
    try {
      const { index, blobs, large } = packed
        ? await this.#whole(parseRecord(tenant, packed))
        : await this.#readFile(tenant, file)
            .then((record) => this.#whole(record))
            .catch((error) =>
              // A power cut took the new one; the one before it was safe.
              this.#readFile(tenant, `${file}.old`)
                .then((record) => this.#whole(record))
                .catch(() => Promise.reject(error)),
            );
      this.#use(tenant, large);
      return { tenant, head: index.head, manifest: index.manifest, blobs };
    } catch (error) {
      this.#options.log.warn({ err: error, tenant }, 'the snapshot of a tenant cannot be read; it waits for the store');
      return null;
    }
  }

  /** A tenant's record with all blobs that it names. */
  async #whole({ index, small }: ReturnType<typeof parseRecord>) {
    const blobs = new Map(small);
    for (const [sha, body] of small) checkBlob(sha, body);
    const large = blobsOf(index).filter((sha) => !blobs.has(sha));
    for (const sha of large) {
      const body = await readFile(join(this.#options.dir, 'blobs', sha));
      checkBlob(sha, body);
      blobs.set(sha, body);
    }
    return { index, blobs, large };
  }

  async #read(tenant: string) {
    const packed = this.#files.has(tenant) ? null : await this.#packs.get(tenant);
    return packed ? parseRecord(tenant, packed) : this.#readFile(tenant, this.#file(tenant));
  }

  async #readFile(tenant: string, path: string) {
    return parseRecord(tenant, await readFile(path));
  }

  #file(tenant: string): string {
    return join(this.#options.dir, 'tenants', tenant);
  }
}
