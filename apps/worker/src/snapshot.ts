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
import { BlobUsers } from './snapshot-blobs.ts';
import { replaceFile, SlabReader, syncFile } from './snapshot-files.ts';
import { type Index, type Loaded, readRecord, recordOf, type Saved } from './snapshot-record.ts';
import { Waiting, type Wanted } from './snapshot-waiting.ts';

/** From here on a blob has a file of its own, so that a small change of a large tenant stays a small write. */
const LARGE = 16 * 1024;
/** Beyond so many bytes waiting, bodies are fetched again instead of kept in memory. */
const MOST_WAITING = 64 * 1024 * 1024;
/** A release does not wait longer for a slow disk, ms. */
const PATIENCE = 250;
/** A successor does not wait longer for what its predecessor has to write: it finds that in the store, too, ms. */
const HOLD_PATIENCE = 1_000;
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

export interface SnapshotOptions {
  readonly dir: string;
  readonly log: Logger;
  /** Bodies of blobs that the snapshot should have and has not. */
  readonly fetch: (sha256: readonly string[]) => Promise<ReadonlyMap<string, Uint8Array>>;
  /** Resolves when what waits for the disk has waited for so many ms. Tests end that when they want to. */
  readonly patience?: ((ms: number) => Promise<unknown>) | undefined;
}

export class Snapshot {
  readonly #options: SnapshotOptions;
  readonly #waiting = new Waiting(MOST_WAITING);
  /** Tenants whose order failed: it waits for the next try, or for a newer one. */
  readonly #later = new Set<string>();
  readonly #unsafe = new Map<string, Unsafe>();
  /** Files are changed one after another, which takes no time on a disk that works: nothing here waits for fsync. */
  readonly #turn = new Gate(1);
  /** A release waited in vain for the disk: the next ones do not, until it works again. */
  #slow = false;
  readonly #users = new BlobUsers();
  /** Tenants that have a file. */
  readonly #files = new Set<string>();
  /** Another process may have changed everything here. */
  #stale = false;
  /** Small blobs that came lately: what many tenants share is not in what each of them brings. */
  readonly #recent = new Map<string, Uint8Array>();
  /** What is saved waits: see `gather`. */
  #gathering = false;
  #writing: Promise<void> | null = null;
  readonly #putting = new Set<Promise<void>>();
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  #held = false;
  /** How often the folder was handed over or given back. */
  #handovers = 0;
  /** Writes that failed since the last one that did not. */
  failures = 0;

  private constructor(options: SnapshotOptions) {
    this.#options = options;
  }

  static async open(options: SnapshotOptions): Promise<Snapshot> {
    makeFolder(join(options.dir, 'tenants'), 0o700);
    makeFolder(join(options.dir, 'blobs'), 0o700);
    const snapshot = new Snapshot(options);
    for (const name of await readdir(join(options.dir, 'tenants'))) snapshot.#files.add(name.replace(/\.old$/, ''));
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
    await this.#inTurn(() => replaceFile(join(this.#options.dir, 'listed'), [])).catch(() => {});
  }

  /**
   * Before what is saved serves: whoever starts after a crash finds it. Never fails, and takes no longer than PATIENCE:
   * what is not written then is tried again.
   */
  async put(saved: Saved): Promise<void> {
    this.#order(saved);
    if (this.#closed || this.#held || this.#slow) return this.#start();
    const work = { fetching: false };
    const written: Promise<void> = this.#carryOut(saved.tenant, work, saved.blobs)
      .then(() => this.#start())
      .finally(() => {
        this.#putting.delete(written);
        this.#slow = false;
      });
    this.#putting.add(written);
    const slow = await this.#isLate(written, PATIENCE);
    if (slow && !work.fetching) this.#slow = true;
  }

  /** Soon. `saved.blobs` may hold only what is new since the tenant's last save. Nobody waits for it. */
  save(saved: Saved): void {
    this.#order(saved);
    this.#start();
  }

  remove(tenant: string): void {
    this.#waiting.remove(tenant);
    this.#later.delete(tenant);
    this.#start();
  }

  /** Resolves when all that was saved so far is on disk, or has failed and is in the log. */
  async flush(): Promise<void> {
    this.#gathering = false;
    this.#later.clear();
    this.#start();
    while (this.#writing || this.#putting.size > 0) await Promise.all([this.#writing, ...this.#putting]);
  }

  async close(): Promise<void> {
    await this.flush();
    clearTimeout(this.#retry);
    this.#closed = true;
  }

  /**
   * Writes nothing any more once it resolves: another process takes the folder over. What is saved then, or was not
   * written by then, waits for `resume`, if that comes.
   */
  async hold(): Promise<void> {
    const handover = ++this.#handovers;
    await this.#isLate(this.flush(), HOLD_PATIENCE);
    if (handover !== this.#handovers) return;
    this.#held = true;
    await this.#turn.run(async () => {});
  }

  resume(): void {
    this.#handovers++;
    this.#stale ||= this.#held;
    this.#held = false;
    this.#start();
  }

  async #isLate(work: Promise<void>, ms: number): Promise<boolean> {
    const timer = new AbortController();
    const { patience = (ms) => wait(ms, undefined, { signal: timer.signal, ref: false }) } = this.#options;
    const over = patience(ms).then(() => true);
    const late = await Promise.race([work.then(() => false), over.catch(() => false)]);
    timer.abort();
    return late;
  }

  #order(saved: Saved): void {
    this.#waiting.add(saved);
    this.#later.delete(saved.tenant);
  }

  #start(): void {
    if (this.#closed || this.#held) return;
    if (this.#gathering && this.#waiting.bytes < MOST_WAITING / 2) return;
    // One at a time: fsync must not take the threads that resolve names and check passwords.
    this.#writing ??= Promise.resolve().then(() => this.#drain());
  }

  async #drain(): Promise<void> {
    for (let some = true; some; ) {
      some = false;
      for (const tenant of this.#waiting.tenants()) {
        if (this.#held) break;
        if (this.#later.has(tenant)) continue;
        some = true;
        await this.#carryOut(tenant);
      }
      if (some || this.#held || this.#unsafe.size === 0) continue;
      some = true;
      await this.#makeSafe();
    }
    // At once: what comes from now on would find nobody.
    this.#writing = null;
  }

  /** All changes of files: one after another, on what is there, and none while another process has the folder. */
  #inTurn<T>(task: () => Promise<T>): Promise<T | undefined> {
    return this.#turn.run(async () => {
      if (this.#held) return undefined;
      if (this.#stale) await this.#lookAgain();
      return task();
    });
  }

  /**
   * Writes what is the newest order for a tenant's file when its turn comes, not when it was asked to: blobs are fetched
   * in between, and what was the newest before that may be none any more. Never fails.
   */
  async #carryOut(
    tenant: string,
    work = { fetching: false },
    fetched: ReadonlyMap<string, Uint8Array> = new Map(),
  ): Promise<void> {
    let order: Wanted | undefined;
    try {
      for (let before: Wanted | undefined; ; before = order) {
        order = this.#waiting.get(tenant);
        const absent = await this.#inTurn(async () => {
          order = this.#waiting.get(tenant);
          if (order === undefined) return [];
          const absent = order === null ? await this.#forget(tenant) : await this.#write(order, fetched);
          if (absent.length > 0) return absent;
          this.#waiting.done(tenant, order);
          this.failures = 0;
          return [];
        });
        if (!absent?.length) return;
        if (order === before) throw new Error(`blob ${absent[0]} is not at hand`);
        work.fetching = true;
        fetched = await this.#options.fetch(absent);
        work.fetching = false;
      }
    } catch (error) {
      await this.#failed(tenant, order, error);
    }
  }

  async #failed(tenant: string, order: Wanted | undefined, error: unknown): Promise<void> {
    const isNewest = () => order !== undefined && this.#waiting.get(tenant) === order;
    await this.#turn.run(async () => {
      // A newer one is on its way, or done.
      if (this.#held || !isNewest()) return;
      this.failures++;
      if (this.failures === 1) {
        this.#options.log.warn({ err: error, tenant }, 'the snapshot of a tenant cannot be written; trying again');
      }
      // Rather none than an old release: a restart must not bring back what was replaced.
      if (order?.manifest !== 'same' && !this.#stale) await this.#remove(tenant).catch(() => {});
      if (!isNewest()) return;
      this.#waiting.strip(tenant);
      this.#later.add(tenant);
    });
    if (this.#later.size === 0 || this.#closed) return;
    this.#retry ??= setTimeout(
      () => {
        this.#retry = undefined;
        this.#later.clear();
        this.#start();
      },
      backoff(this.failures, 1_000),
    );
    this.#retry.unref();
  }

  /** What was written outlives a power cut from here on; what it replaced goes. */
  async #makeSafe(): Promise<void> {
    const [tenant, unsafe] = this.#unsafe.entries().next().value!;
    this.#unsafe.delete(tenant);
    fault('apply.before-sync');
    try {
      for (const path of unsafe.sync) {
        // Removed meanwhile: whoever did so takes care of it.
        await syncFile(path).catch((error) => (error.code === 'ENOENT' ? undefined : Promise.reject(error)));
      }
      await this.#inTurn(async () => {
        const newer = this.#unsafe.get(tenant);
        for (const sha of unsafe.drop) {
          if (newer) newer.drop.add(sha);
          else if (!this.#users.has(sha)) await rm(join(this.#options.dir, 'blobs', sha), { force: true });
        }
        if (newer) newer.old ||= unsafe.old;
        else if (unsafe.old) await rm(`${this.#file(tenant)}.old`, { force: true });
      });
    } catch (error) {
      this.#options.log.warn({ err: error, tenant }, 'the snapshot of a tenant may not outlive a power cut');
    }
  }

  /** Gives back the blobs that have to be fetched first; then nothing was written. */
  async #write(saved: Saved, fetched: ReadonlyMap<string, Uint8Array>): Promise<readonly string[]> {
    const { tenant, head } = saved;
    fault('apply.before-snapshot');
    // Without a file there is nothing to add to; the next release brings all of it.
    const kept = saved.manifest === 'same' ? await this.#read(tenant) : null;
    const manifest = saved.manifest === 'same' ? kept?.index.manifest : saved.manifest;
    if (manifest === undefined) return [];
    if (manifest === null) {
      await this.#put(tenant, { schema: 1, tenant, head, manifest, small: [] }, []);
      this.#use(tenant, []);
      return [];
    }
    const wanted = [...new Set(manifest.sections.flatMap((section) => section.blobs))];
    const bodies = new Map([...saved.blobs, ...fetched]);
    for (const sha of wanted) {
      const body = bodies.get(sha) ?? this.#recent.get(sha);
      if (!body || body.length > SHARED) continue;
      bodies.set(sha, body);
      this.#recent.delete(sha);
      this.#recent.set(sha, body);
    }
    while (this.#recent.size > RECENT) this.#recent.delete(this.#recent.keys().next().value!);
    const missing = () => wanted.filter((sha) => !bodies.has(sha) && !this.#users.has(sha));
    if (missing().length > 0 && this.#files.has(tenant)) {
      const before = await this.#read(tenant).catch(() => null);
      for (const [sha, body] of before?.small ?? []) bodies.set(sha, body);
    }
    const absent = missing();
    if (absent.length > 0) return absent;

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
    return [];
  }

  async #put(tenant: string, index: Index, parts: readonly Uint8Array[]): Promise<void> {
    const file = this.#file(tenant);
    const unsafe = this.#unsafeOf(tenant);
    unsafe.old ||= this.#files.has(tenant);
    await replaceFile(file, recordOf(index, parts), unsafe.old ? `${file}.old` : undefined);
    this.#files.add(tenant);
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

  async #forget(tenant: string): Promise<readonly string[]> {
    await this.#remove(tenant);
    this.#use(tenant, []);
    return [];
  }

  async #remove(tenant: string): Promise<void> {
    this.#files.delete(tenant);
    for (const file of [this.#file(tenant), `${this.#file(tenant)}.old`]) await rm(file, { force: true });
  }

  /** Large blobs that no file names any more go when the new file is safe. */
  #use(tenant: string, large: readonly string[]): void {
    for (const sha of this.#users.use(tenant, large)) this.#unsafeOf(tenant).drop.add(sha);
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

  /** Takes in what another process left here, and lets it stand where it is newer than what waits. */
  async #lookAgain(): Promise<void> {
    const blobs = new Set(await readdir(join(this.#options.dir, 'blobs')));
    const names = await readdir(join(this.#options.dir, 'tenants'));
    this.#files.clear();
    this.#users.clear();
    const breathe = slices();
    for (const tenant of new Set(names.map((name) => name.replace(/\.old$/, '')))) {
      if (tenant.endsWith('.tmp')) continue;
      await breathe();
      this.#files.add(tenant);
      const { index } = (await this.#read(tenant).catch(() => null)) ?? {};
      if (!index) continue;
      const named = index.manifest?.sections.flatMap((section) => section.blobs) ?? [];
      this.#use(
        tenant,
        [...new Set(named)].filter((sha) => blobs.has(sha)),
      );
      const order = this.#waiting.get(tenant);
      if (order && order.head.seq < index.head.seq) this.#waiting.done(tenant, order);
    }
    this.#stale = false;
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

  /** What `load` would find; null when there is nothing. */
  async #read(tenant: string) {
    for (const file of [this.#file(tenant), `${this.#file(tenant)}.old`]) {
      try {
        return readRecord(tenant, await readFile(file));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== undefined && code !== 'ENOENT') throw error;
      }
    }
    return null;
  }

  #file(tenant: string): string {
    return join(this.#options.dir, 'tenants', tenant);
  }
}
