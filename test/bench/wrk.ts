/** wrk: keep-alive load on a forward proxy. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ProxyUnderTest } from './lab.ts';
import { programPath } from './machine.ts';

const script = fileURLToPath(new URL('./load/forward.lua', import.meta.url));
const run = promisify(execFile);

export interface WrkLoad {
  method: 'GET' | 'POST';
  url: string;
  bodyBytes: number;
  connections: number;
  /** No request is like another. */
  varied?: boolean;
}

/** Requests that were answered in `seconds`. Throws when one was refused or failed: it would have cost less. */
export async function wrk(proxy: ProxyUnderTest, load: WrkLoad, seconds: number): Promise<number> {
  const { stdout } = await run(programPath('wrk'), [
    ...['-t1', `-c${load.connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', script],
    ...[`http://127.0.0.1:${proxy.port}/`, '--', load.method, load.url, proxy.authorization, String(load.bodyBytes)],
    ...(load.varied ? ['varied'] : []),
  ]);
  const line = /^BENCH (.*)$/m.exec(stdout)?.[1];
  if (line === undefined) throw new Error(`wrk said: ${stdout}`);
  const { requests, refused, failed } = JSON.parse(line) as { requests: number; refused: number; failed: number };
  if (refused > 0 || failed > 0) throw new Error(`${proxy.name}: ${refused} refused, ${failed} failed of ${requests}`);
  if (requests === 0) throw new Error(`${proxy.name}: no request was answered`);
  return requests;
}
