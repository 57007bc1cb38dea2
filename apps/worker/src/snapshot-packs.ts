/**
 * Many tenants' records in few files, because ten thousand small ones take their time to read and to write. A pack is
 * written once, as a whole, and outlives a power cut; later only single records in it are struck out. What a younger
 * pack has of a tenant counts, and a file of its own counts before all packs.
 *
 *   <dir>/packs/<number>   for each record a line `<tenant> <length>`, and then the record
 */
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fault } from '@arcus/control/faults.ts';
import { TENANT_ID } from '@arcus/control/keys.ts';
import type { Logger } from 'pino';

/** Bytes read at once. */
const CHUNK = 1024 * 1024;
/** No record is longer: its blobs are small, and large ones have files of their own. */
const MOST = 64 * CHUNK;
const LINE = 100;

export interface Packed {
  readonly tenant: string;
  /** Null: struck out. Newer than any that older packs have, and gone. */
  readonly record: Buffer | null;
}

export interface Draft {
  readonly pack: number;
  readonly places: Map<string, Place>;
}

interface Place {
  readonly pack: number;
  readonly at: number;
  readonly length: number;
}

export class Packs {
  readonly #dir: string;
  readonly #log: Logger;
  readonly #places = new Map<string, Place>();
  #numbers: number[] = [];

  private constructor(dir: string, log: Logger) {
    this.#dir = dir;
    this.#log = log;
  }

  static async open(dir: string, log: Logger): Promise<Packs> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const packs = new Packs(dir, log);
    await packs.#list();
    return packs;
  }

  /** Numbers of the packs that there are. */
  get numbers(): readonly number[] {
    return this.#numbers;
  }

  /** Tenants with a record that counts, as far as `read` came or this process wrote. */
  get tenants(): number {
    return this.#places.size;
  }

  /** The record of each tenant that is not in `seen`, and adds it there. Behind a line that makes no sense all is lost. */
  async *read(seen: Set<string>): AsyncGenerator<Packed> {
    for (const pack of [...this.#numbers].reverse()) {
      const whole = yield* this.#readPack(pack, seen);
      if (whole) continue;
      // Older packs may have older releases of those that cannot be told any more.
      this.#log.warn(
        { file: this.#file(pack) },
        'a part of the snapshot cannot be read; its tenants wait for the store',
      );
      return;
    }
  }

  /** One tenant's record; null when there is none. */
  async get(tenant: string): Promise<Buffer | null> {
    const place = this.#places.get(tenant);
    if (!place) return null;
    const file = await open(this.#file(place.pack), 'r');
    try {
      const record = Buffer.alloc(place.length);
      const { bytesRead } = await file.read(record, 0, place.length, place.at);
      return bytesRead === place.length ? record : null;
    } finally {
      await file.close();
    }
  }

  /** Writes a pack that does not count yet. */
  async draft(records: AsyncIterable<readonly [string, Buffer]>): Promise<Draft> {
    await this.#list();
    const pack = (this.#numbers.at(-1) ?? 0) + 1;
    return { pack, places: await this.#write(pack, records) };
  }

  /** From now on it counts, except for `without`; with `replaces` the packs of that time are gone. */
  async adopt(
    { pack, places }: Draft,
    without: Iterable<string> = [],
    replaces: readonly number[] = [],
  ): Promise<void> {
    const temporary = `${this.#file(pack)}.tmp`;
    for (const tenant of without) {
      const place = places.get(tenant);
      if (place) await strike(temporary, place, true);
      places.delete(tenant);
    }
    await rename(temporary, this.#file(pack));
    this.#numbers.push(pack);
    for (const [tenant, place] of places) this.#places.set(tenant, place);
    for (const old of replaces) await rm(this.#file(old), { force: true });
    this.#numbers = this.#numbers.filter((number) => !replaces.includes(number));
  }

  /** Makes a tenant's record unreadable, where it is: also a full disk takes that. */
  async strike(tenant: string): Promise<void> {
    const place = this.#places.get(tenant);
    this.#places.delete(tenant);
    if (place) await strike(this.#file(place.pack), place, false);
  }

  async #list(): Promise<void> {
    const names = await readdir(this.#dir);
    for (const name of names) if (name.endsWith('.tmp')) await rm(join(this.#dir, name), { force: true });
    this.#numbers = names
      .filter((name) => /^\d{1,15}$/.test(name))
      .map(Number)
      .sort((a, b) => a - b);
  }

  async #write(pack: number, records: AsyncIterable<readonly [string, Buffer]>) {
    const places = new Map<string, Place>();
    const temporary = `${this.#file(pack)}.tmp`;
    const file = await open(temporary, 'w', 0o600);
    try {
      let at = 0;
      let waiting: Buffer[] = [];
      let bytes = 0;
      const flush = async () => {
        if (bytes > 0) await file.write(Buffer.concat(waiting));
        fault('apply.amid-snapshot');
        waiting = [];
        bytes = 0;
      };
      for await (const [tenant, record] of records) {
        const line = Buffer.from(`${tenant} ${record.length}\n`);
        places.set(tenant, { pack, at: at + line.length, length: record.length });
        waiting.push(line, record);
        at += line.length + record.length;
        bytes += line.length + record.length;
        if (bytes > CHUNK) await flush();
      }
      await flush();
      await file.sync();
    } finally {
      await file.close();
    }
    return places;
  }

  /** Answers whether it could be read to its end. */
  async *#readPack(pack: number, seen: Set<string>): AsyncGenerator<Packed, boolean> {
    const file = await open(this.#file(pack), 'r').catch(() => null);
    if (!file) return false;
    try {
      let buffer = Buffer.alloc(0);
      /** Where `buffer` begins in the file. */
      let start = 0;
      const need = async (bytes: number): Promise<boolean> => {
        while (buffer.length < bytes) {
          const more = Buffer.allocUnsafe(Math.max(CHUNK, bytes - buffer.length));
          const { bytesRead } = await file.read(more, 0, more.length);
          if (bytesRead === 0) return false;
          buffer = Buffer.concat([buffer, more.subarray(0, bytesRead)]);
        }
        return true;
      };
      for (;;) {
        if (buffer.length < LINE) await need(LINE);
        if (buffer.length === 0) return true;
        const end = buffer.subarray(0, LINE).indexOf(10);
        const [, tenant = '', digits = ''] =
          /^(\S+) (\d{1,9})$/.exec(buffer.toString('latin1', 0, Math.max(0, end))) ?? [];
        const length = Number(digits);
        if (!TENANT_ID.test(tenant) || length > MOST || !(await need(end + 1 + length))) return false;
        const record = buffer.subarray(end + 1, end + 1 + length);
        buffer = buffer.subarray(end + 1 + length);
        const at = start + end + 1;
        start = at + length;
        if (seen.has(tenant)) continue;
        seen.add(tenant);
        const struck = record[0] === 45;
        if (!struck) this.#places.set(tenant, { pack, at, length });
        yield { tenant, record: struck ? null : record };
      }
    } finally {
      await file.close();
    }
  }

  #file(pack: number): string {
    return join(this.#dir, String(pack));
  }
}

async function strike(path: string, { at, length }: Place, safely: boolean): Promise<void> {
  const file = await open(path, 'r+').catch((error) => {
    if (error.code !== 'ENOENT') throw error;
    return null;
  });
  if (!file) return;
  try {
    await file.write(Buffer.alloc(Math.min(64, length), '-'), 0, undefined, at);
    if (safely) await file.sync();
  } finally {
    await file.close();
  }
}
