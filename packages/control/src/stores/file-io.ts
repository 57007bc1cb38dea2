/** Files that are whole or absent, whatever crashes; and that tell when their bytes changed on the disk. */
import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, rename, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { sha256 } from '../canonical.ts';
import { StoreCorrupt, StoreUnavailable } from '../store.ts';

const MAGIC = 'arcus1';

export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | null)?.code;
}

/** Every error of the file system is StoreUnavailable to the store's users; the store's own errors stay. */
export async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    throw new StoreUnavailable((error as Error).message, { cause: error });
  }
}

/** The body behind one line that holds a word of the writer's choice and the body's hash. */
export function seal(body: string | Uint8Array, word: string): Buffer {
  return Buffer.concat([Buffer.from(`${MAGIC} ${word} ${sha256(body)}\n`), Buffer.from(body as string)]);
}

export function unseal(bytes: Buffer, where: string): { word: string; body: Buffer } {
  const end = bytes.indexOf(10);
  const match = /^arcus1 ([A-Za-z0-9-]+) ([0-9a-f]{64})$/.exec(bytes.toString('latin1', 0, Math.max(0, end)));
  if (!match) throw new StoreCorrupt(`${where} is no file of a store`);
  const body = bytes.subarray(end + 1);
  if (sha256(body) !== match[2]) throw new StoreCorrupt(`${where} was cut or altered`);
  return { word: match[1]!, body };
}

/** The file's bytes, or null when there is none. */
export async function readOrNull(file: string): Promise<Buffer | null> {
  try {
    return await readFile(file);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

/** True when it was there. */
export async function remove(file: string): Promise<boolean> {
  try {
    await unlink(file);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

export interface Writer {
  /** Replaces the file. */
  replace(file: string, bytes: Uint8Array): Promise<void>;
  /** Makes the file; false when it exists, which is then left as it is. */
  create(file: string, bytes: Uint8Array): Promise<boolean>;
}

/** `fsync`: writes outlive a power cut. Drafts lie in `drafts`, on the same file system. */
export function createWriter(drafts: string, fsync: boolean): Writer {
  let swept: Promise<void> | undefined;
  const draft = async (bytes: Uint8Array): Promise<string> => {
    swept ??= sweep(drafts);
    await swept;
    const file = `${drafts}/${process.pid}-${randomBytes(8).toString('hex')}`;
    const handle = await retryInFolder(drafts, () => open(file, 'wx', 0o600));
    try {
      await handle.writeFile(bytes);
      if (fsync) await handle.sync();
    } catch (error) {
      await remove(file).catch(() => {});
      throw error;
    } finally {
      await handle.close();
    }
    return file;
  };
  const settle = async (file: string): Promise<void> => {
    if (!fsync) return;
    const folder = await open(dirname(file), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  };
  return {
    async replace(file, bytes) {
      const from = await draft(bytes);
      try {
        await retryInFolder(dirname(file), () => rename(from, file));
      } catch (error) {
        await remove(from).catch(() => {});
        throw error;
      }
      await settle(file);
    },
    async create(file, bytes) {
      const from = await draft(bytes);
      try {
        await retryInFolder(dirname(file), () => link(from, file));
      } catch (error) {
        if (codeOf(error) === 'EEXIST') return false;
        throw error;
      } finally {
        await remove(from).catch(() => {});
      }
      await settle(file);
      return true;
    },
  };
}

/** Removes drafts that a crash left. */
async function sweep(drafts: string): Promise<void> {
  for (const name of await readdir(drafts).catch(() => [])) {
    const file = `${drafts}/${name}`;
    const age = await stat(file).then(
      (info) => Date.now() - info.mtimeMs,
      () => 0,
    );
    if (age > 3_600_000) await remove(file);
  }
}

async function retryInFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return work();
  }
}
