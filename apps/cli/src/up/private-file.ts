import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { makeFolder } from '@arcus/control/folder.ts';

/** Makes a folder that only its owner can enter; one that exists keeps its mode. */
export function privateFolder(path: string): void {
  makeFolder(path, 0o700);
}

/** Writes a file that only its owner can read, whole or not at all. */
export function writePrivate(path: string, text: string): void {
  const draft = `${path}.${process.pid}.tmp`;
  writeFileSync(draft, text, { mode: 0o600, flush: true });
  chmodSync(draft, 0o600);
  renameSync(draft, path);
}

/** The file's text; made by `create` the first time. */
export function keepPrivate(path: string, create: () => string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const text = create();
  writePrivate(path, `${text}\n`);
  return text;
}
