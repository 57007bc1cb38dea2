import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { writePrivate } from './private-file.ts';

/** What a script needs to use the Arcus that runs: in `ready.json` as long as all of it answers. */
export const Ready = z.strictObject({
  api: z.url().describe('The management API'),
  docs: z.url().describe('Its documentation, for people'),
  openapi: z.url().describe('Its description, for programs'),
  health: z.url().describe('How it is: the one address of this machine that the demo tenant may reach'),
  proxy: z.url().nullable().describe('The demo proxy, with user and password; null when the demo tenant has none now'),
  admin_token: z.string().describe('A token that may do everything'),
  worker_admin: z.url().describe("The worker's own health, readiness and metrics"),
  data: z.string().describe('The data folder'),
  pid: z.int().describe('The process'),
});
export type Ready = z.output<typeof Ready>;

const file = (data: string) => join(data, 'ready.json');

export const writeReady = (data: string, ready: Ready): void => {
  writePrivate(file(data), `${JSON.stringify(ready, null, 2)}\n`);
};

export const removeReady = (data: string): void => rmSync(file(data), { force: true });

/** What runs on this data folder; null when nothing does: a process that was killed leaves its file behind. */
export function readReady(data: string): Ready | null {
  try {
    const ready = Ready.parse(JSON.parse(readFileSync(file(data), 'utf8')));
    return isAlive(ready.pid) ? ready : null;
  } catch {
    return null;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
