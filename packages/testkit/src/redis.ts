import { Child } from './child.ts';
import { ask } from './connect.ts';
import { freePort } from './port.ts';
import { tempDir } from './temp.ts';

export interface RedisServer {
  readonly port: number;
  /** `redis://127.0.0.1:<port>` */
  readonly url: string;
  /** kill, stop, cont, start, restart: its data survive all of them. */
  readonly process: Child;
  close(): Promise<void>;
}

/** A real redis-server on a free port, with an append-only file in a temporary folder. */
export async function startRedis(): Promise<RedisServer> {
  const port = await freePort();
  const dir = tempDir('redis');
  const process = await Child.start({
    command: 'redis-server',
    // Each write goes to the page cache at once, which outlives a killed process; fsync would only cost time.
    args: [
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', dir.path, '--save', ''],
      ...['--appendonly', 'yes', '--appendfsync', 'no', '--loglevel', 'warning'],
    ],
    ready: async () => (await ask(port, 'PING\r\n')).startsWith('+PONG'),
    cleanup: dir.close,
  });
  return { port, url: `redis://127.0.0.1:${port}`, process, close: () => process.close() };
}
