import { mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Test files run in several processes: a claim is a file, so that two of them never get the same port.
const folder = join(tmpdir(), 'arcus-test-ports');
/** Ports that a proxy refuses, and browsers too. */
const BLOCKED = [10_080, 11_211];
const mine = new Set<string>();

/**
 * A TCP port that nobody listens on, below 32768 (above, the kernel hands ports to outgoing connections). The same
 * port is never given twice, in this process or in another test process that runs now.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 500; attempt++) {
    const port = 10_000 + Math.floor(Math.random() * 22_000);
    if (BLOCKED.includes(port)) continue;
    if (claim(port) && (await bindable(port))) return port;
  }
  throw new Error('no free port between 10000 and 32000');
}

function claim(port: number): boolean {
  const file = join(folder, String(port));
  if (mine.size === 0) {
    mkdirSync(folder, { recursive: true });
    process.once('exit', () => {
      for (const file of mine) remove(file);
    });
  }
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      mine.add(file);
      return true;
    } catch {
      if (mine.has(file) || alive(file)) return false;
      remove(file);
    }
  }
  return false;
}

function alive(file: string): boolean {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    // Empty for the moment between its creation and its writing.
    if (pid > 0) process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function remove(file: string): void {
  try {
    unlinkSync(file);
  } catch {
    // Somebody else removed it.
  }
}

function bindable(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '0.0.0.0', () => server.close(() => resolve(true)));
  });
}
