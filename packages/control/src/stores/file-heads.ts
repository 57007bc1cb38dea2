/**
 * Heads in one folder. Each write of a tenant's head is a file of its own, `<tenant>.<number>`, the number one higher
 * than the last; the highest counts. A number is taken by link(2), which fails when the file exists: that is the
 * compare-and-set between processes, without a lock that a crash could leave behind. A deleted head is an empty body.
 * Older files stay for a while, so that a watcher sees every change in order.
 */
import { randomBytes } from 'node:crypto';
import { type FSWatcher, watch } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { encode, readHead } from '../codec.ts';
import { TENANT_ID } from '../keys.ts';
import { Queue } from '../queue.ts';
import type { Head } from '../release.ts';
import { HeadConflict, type HeadEvent, HeadInvalid, type Revision, type StoreCorrupt } from '../store.ts';
import { codeOf, guarded, readOrNull, remove, seal, unseal, type Writer } from './file-io.ts';

/** Milliseconds that a replaced head's file stays. */
const KEEP = 10_000;
/** Milliseconds between two looks at the folder. Notifications of the system come at once, but may get lost. */
const POLL = 1000;
/** Milliseconds in which a folder may change twice and have the same time of change. */
const CLOCK_GRAIN = 100;

interface Entry {
  number: number;
  word: string;
  /** Empty: deleted. Null: not readable, for the reason in `fault`. */
  body: Buffer | null;
  fault?: string;
}

const revisionOf = (entry: Entry): Revision => `${entry.number}-${entry.word}`;

export interface FileHeads {
  get(tenant: string): Promise<{ head: Head; revision: Revision } | null>;
  put(tenant: string, head: Head, expected: Revision | null): Promise<Revision>;
  delete(tenant: string, expected: Revision): Promise<void>;
  watch(signal: AbortSignal): AsyncIterable<HeadEvent>;
}

export function openFileHeads(folder: string, writer: Writer): FileHeads {
  const fileOf = (tenant: string, number: number) => `${folder}/${tenant}.${number}`;
  /** What this process knows of a tenant's files: the newest it saw, the oldest that may still lie there. */
  const known = new Map<string, { newest: number; oldest: number }>();

  /** Numbers of the files of each tenant, ascending. */
  const list = async (): Promise<Map<string, number[]>> => {
    const found = new Map<string, number[]>();
    let names: string[];
    try {
      names = await readdir(folder);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return found;
      throw error;
    }
    for (const name of names) {
      const dot = name.lastIndexOf('.');
      const number = Number(name.slice(dot + 1));
      if (dot <= 0 || !Number.isSafeInteger(number)) continue;
      const tenant = name.slice(0, dot);
      if (!TENANT_ID.test(tenant)) continue;
      const numbers = found.get(tenant);
      if (numbers) numbers.push(number);
      else found.set(tenant, [number]);
    }
    for (const numbers of found.values()) numbers.sort((a, b) => a - b);
    return found;
  };

  const read = async (tenant: string, number: number): Promise<Entry | null> => {
    const bytes = await readOrNull(fileOf(tenant, number));
    if (!bytes) return null;
    try {
      return { number, ...unseal(bytes, `head of ${tenant}`) };
    } catch (error) {
      return { number, word: 'unreadable', body: null, fault: (error as StoreCorrupt).message };
    }
  };

  const exists = (tenant: string, number: number) =>
    stat(fileOf(tenant, number)).then(
      () => true,
      (error) => {
        if (codeOf(error) === 'ENOENT') return false;
        throw error;
      },
    );

  /** The newest number, 0 when there never was a head. */
  const newest = async (tenant: string): Promise<number> => {
    const memory = known.get(tenant);
    // Calls overlap: each counts for itself.
    let number = memory?.newest ?? 0;
    if (memory && (await exists(tenant, number))) {
      // Files go in ascending order: while the one that we know is there, all later ones are.
      while (await exists(tenant, number + 1)) number++;
      memory.newest = Math.max(memory.newest, number);
      return number;
    }
    const numbers = (await list()).get(tenant);
    if (!numbers) return 0;
    known.set(tenant, { newest: numbers.at(-1)!, oldest: numbers[0]! });
    return numbers.at(-1)!;
  };

  const current = async (tenant: string): Promise<Entry | null> => {
    for (;;) {
      const number = await newest(tenant);
      if (number === 0) return null;
      const entry = await read(tenant, number);
      if (entry) return entry; // Else it was replaced and tidied away meanwhile.
    }
  };

  const tidy = async (tenant: string): Promise<void> => {
    const memory = known.get(tenant);
    while (memory && memory.oldest < memory.newest - 1) {
      const file = fileOf(tenant, memory.oldest);
      try {
        if (Date.now() - (await stat(file)).mtimeMs < KEEP) return;
      } catch (error) {
        if (codeOf(error) !== 'ENOENT') throw error;
      }
      await remove(file);
      memory.oldest++;
    }
  };

  const write = async (tenant: string, body: string, expected: Revision | null): Promise<Revision> => {
    const now = await current(tenant);
    const revision = now && now.body?.length !== 0 ? revisionOf(now) : null;
    if (revision !== expected) throw new HeadConflict(tenant);
    const number = (now?.number ?? 0) + 1;
    const word = randomBytes(8).toString('hex');
    if (!(await writer.create(fileOf(tenant, number), seal(body, word)))) throw new HeadConflict(tenant);
    // A process that slept since it looked may have taken a number that was used and tidied away. Its file counts for
    // nothing, as a higher one exists.
    if ((await newest(tenant)) !== number && (await read(tenant, number + 1)) === null) throw new HeadConflict(tenant);
    const memory = known.get(tenant);
    if (memory) memory.newest = Math.max(memory.newest, number);
    else known.set(tenant, { newest: number, oldest: number });
    await tidy(tenant);
    return `${number}-${word}`;
  };

  async function produce(queue: Queue<HeadEvent>, signal: AbortSignal): Promise<void> {
    const seen = new Map<string, number>();
    /** Tenants whose folder entries changed, and the highest number among these entries. */
    let dirty = new Map<string, number>();
    const mark = (tenant: string, number: number) => dirty.set(tenant, Math.max(number, dirty.get(tenant) ?? 0));
    let scan = true;
    let wake = () => {};
    let watcher: FSWatcher | undefined;
    const attach = () => {
      try {
        watcher ??= watch(folder, { persistent: false }, (_, name) => {
          if (name === null) scan = true;
          else {
            const dot = name.lastIndexOf('.');
            const tenant = name.slice(0, dot);
            if (TENANT_ID.test(tenant)) mark(tenant, Number(name.slice(dot + 1)) || 0);
          }
          wake();
        }).on('error', () => detach());
      } catch {
        // No such folder yet, or no notifications left: the poll finds changes as well.
      }
    };
    const detach = () => {
      watcher?.close();
      watcher = undefined;
    };
    const poll = setInterval(() => {
      scan = true;
      wake();
    }, POLL);
    poll.unref();
    signal.addEventListener('abort', () => wake(), { once: true });

    let first = true;
    let settled = 0;
    let inode: number | undefined;
    while (!signal.aborted) {
      try {
        attach();
        if (scan) {
          scan = false;
          const info = await stat(folder).catch(() => undefined);
          const changed = info?.mtimeMs ?? 0;
          if (info?.ino !== inode) {
            // Another folder of that name, or none: notifications would be of the old one.
            inode = info?.ino;
            detach();
            attach();
          }
          if (changed !== settled || first) {
            const began = Date.now();
            const listed = await list();
            const back = [...seen].some(([tenant, number]) => (listed.get(tenant)?.at(-1) ?? 0) < number);
            if (first || back) {
              queue.push(await listing(listed, seen));
              first = false;
            } else {
              for (const [tenant, numbers] of listed) {
                if (numbers.at(-1) !== seen.get(tenant)) mark(tenant, numbers.at(-1)!);
              }
            }
            settled = began - changed > CLOCK_GRAIN ? changed : -1;
          }
        }
        const marked = dirty;
        dirty = new Map();
        for (const [tenant, number] of marked) {
          const last = seen.get(tenant) ?? 0;
          if (number > last) await catchUp(tenant, seen, queue);
          // Old files go all the time; the newest one only when somebody wipes the folder.
          else if (number === last && !(await exists(tenant, number))) {
            scan = true;
            settled = -1;
            break;
          }
        }
      } catch {
        // The disk is away: the next look tells more. What was seen stays, so nothing is lost or said twice.
        scan = true;
        settled = -1;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      if (dirty.size > 0 || scan || signal.aborted) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    clearInterval(poll);
    detach();
  }

  async function listing(listed: Map<string, number[]>, seen: Map<string, number>): Promise<HeadEvent> {
    const heads = new Map<string, Head>();
    const invalid = new Map<string, string>();
    seen.clear();
    for (const [tenant, numbers] of listed) {
      // The newest file only goes when a newer one is there.
      const event = await eventOf(tenant, numbers.at(-1)!);
      if (!event) continue;
      seen.set(tenant, numbers.at(-1)!);
      if (event.type === 'put') heads.set(tenant, event.head);
      if (event.type === 'invalid') invalid.set(tenant, event.reason);
    }
    return { type: 'list', heads, invalid };
  }

  /** Says all that came after what was seen of this tenant. */
  async function catchUp(tenant: string, seen: Map<string, number>, queue: Queue<HeadEvent>): Promise<void> {
    for (;;) {
      const last = seen.get(tenant);
      if (last === undefined) {
        // Its first files may be tidied away already.
        const numbers = (await list()).get(tenant);
        if (!numbers) return;
        seen.set(tenant, numbers[0]! - 1);
        continue;
      }
      const event = await eventOf(tenant, last + 1);
      if (event) {
        seen.set(tenant, last + 1);
        queue.push(event);
        continue;
      }
      const later = (await list()).get(tenant)?.filter((number) => number > last);
      if (!later?.length) return;
      if (later[0] === last + 1) continue;
      // This process slept for longer than old files are kept: say all anew.
      queue.push(await listing(await list(), seen));
    }
  }

  async function eventOf(tenant: string, number: number): Promise<Exclude<HeadEvent, { type: 'list' }> | null> {
    const entry = await read(tenant, number);
    if (!entry) return null;
    if (!entry.body) return { type: 'invalid', tenant, reason: entry.fault ?? '' };
    if (entry.body.length === 0) return { type: 'delete', tenant };
    const result = readHead(entry.body, tenant);
    return 'head' in result ? { type: 'put', tenant, head: result.head } : { type: 'invalid', tenant, ...result };
  }

  return {
    get: (tenant) =>
      guarded(async () => {
        const entry = await current(tenant);
        if (!entry || entry.body?.length === 0) return null;
        const revision = revisionOf(entry);
        const result = entry.body ? readHead(entry.body, tenant) : { reason: entry.fault ?? '' };
        if ('reason' in result) throw new HeadInvalid(result.reason, revision);
        return { head: result.head, revision };
      }),
    put: (tenant, head, expected) => guarded(() => write(tenant, encode(head), expected)),
    delete: (tenant, expected) => guarded(async () => void (await write(tenant, '', expected))),
    watch(signal) {
      const queue = new Queue<HeadEvent>(signal);
      void produce(queue, signal);
      return queue;
    },
  };
}
