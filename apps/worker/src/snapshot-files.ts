/** Files that are replaced as a whole. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { link, open, rename, rm } from 'node:fs/promises';
import { fault } from '@arcus/control/faults.ts';

/** All of the file or none of it. `old` is what was there, as long as it was not safe to drop it. */
export async function replaceFile(path: string, parts: readonly Uint8Array[], old?: string): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      // All at once: each call waits for another thread. A disk that is full takes a part.
      const { bytesWritten } = parts.length > 0 ? await file.writev(parts) : { bytesWritten: 0 };
      let size = 0;
      for (const part of parts) size += part.length;
      if (bytesWritten < size) throw new Error(`the disk took ${bytesWritten} of ${size} bytes`);
      fault('apply.amid-snapshot');
    } finally {
      await file.close();
    }
    // An older one that is safe stays until a newer one is.
    if (old !== undefined) await link(path, old).catch(() => {});
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

/** It outlives a power cut from here on. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Bytes that files share in memory, and how many of them one may take. */
const SLAB = 256 * 1024;
const SLAB_PART = SLAB / 8;

/**
 * Reads small files, one after another, into memory that they share: thousands of buffers of their own would each be
 * freed on its own, with the event loop waiting.
 */
export class SlabReader {
  #rest: Buffer = Buffer.alloc(0);

  /** At once: to ask another thread for a small file takes twenty times as long. */
  read(path: string): Buffer {
    const file = openSync(path, 'r');
    try {
      const size = fstatSync(file).size;
      const bytes = size > SLAB_PART ? Buffer.allocUnsafeSlow(size) : this.#take(size);
      let at = 0;
      while (at < size) {
        const read = readSync(file, bytes, at, size - at, null);
        if (read === 0) break;
        at += read;
      }
      return bytes.subarray(0, at);
    } finally {
      closeSync(file);
    }
  }

  #take(size: number): Buffer {
    if (size > this.#rest.length) this.#rest = Buffer.allocUnsafeSlow(SLAB);
    const bytes = this.#rest.subarray(0, size);
    this.#rest = this.#rest.subarray(size);
    return bytes;
  }
}
