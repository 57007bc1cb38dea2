/** Files that are replaced as a whole. */
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
