/** Looks into a process under test: its event loop and its memory, over a port that a preloaded module opens. */
import { fileURLToPath } from 'node:url';
import { freePort } from '@arcus/testkit/port.ts';

export interface Look {
  /** The longest time between two turns of the event loop since the last look: CPU time of its thread, and wall, ms. */
  blockCpuMs: number;
  blockWallMs: number;
  /** CPU time of the whole process, ms since its start. */
  cpuMs: number;
  rssBytes: number;
  heapBytes: number;
  externalBytes: number;
}

export interface Monitor {
  readonly args: readonly string[];
  readonly env: Record<string, string>;
  /** Collects garbage first with `gc`. */
  look(options?: { gc?: boolean }): Promise<Look>;
}

const preload = fileURLToPath(new URL('./preload.ts', import.meta.url));

export async function monitored(): Promise<Monitor> {
  const port = await freePort();
  return {
    args: ['--expose-gc', '--import', preload],
    env: { BENCH_MONITOR_PORT: String(port) },
    async look({ gc = false } = {}) {
      return (await fetch(`http://127.0.0.1:${port}/${gc ? 'gc' : ''}`)).json() as Promise<Look>;
    },
  };
}
