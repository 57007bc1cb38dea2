/** For tests of a worker of several processes: one as a program, and load on it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { standsStill } from '@arcus/testkit/freeze.ts';
import { testKeys } from '@arcus/testkit/keys.ts';
import { startEcho, startOrigin } from '@arcus/testkit/origin.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until } from '@arcus/testkit/until.ts';
import { answered, openFolder, proxyOn, publish } from './testing.ts';

/** A line of the log on a process. */
interface Event {
  readonly msg: string;
  readonly process: number;
  readonly pid: number;
  readonly signal?: string;
  readonly restart_in_ms?: number;
}

/** For what takes processes to start or to end: a busy machine needs its time for them. */
export const LONG = { deadline: 120_000 };

/** Kills a process, and does nothing else in this one before it is dead. */
export function killNow(pid: number): void {
  process.kill(pid, 'SIGKILL');
  while (!standsStill(pid));
}

/** A worker of two processes as a program, with one tenant on `port`. */
export async function setUp(t: TestContext, options: { server?: object; env?: Record<string, string> } = {}) {
  const folder = tempDir('group');
  const store = await openFolder(join(folder.path, 'store'));
  const [origin, echo] = [await startOrigin(), await startEcho()];
  const [port, adminPort] = [await freePort(), await freePort()];
  await publish(store, 'acme', 1, proxyOn(port, { server: { connect_ports: [echo.port], ...options.server } }));
  const main = spawn(process.execPath, [fileURLToPath(new URL('./main.ts', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      ARCUS_DATA: folder.path,
      ARCUS_STORE_URL: `file:${join(folder.path, 'store')}`,
      ARCUS_VERIFY_KEYS: testKeys().env.ARCUS_VERIFY_KEYS,
      ARCUS_WORKER_ID: 'w1',
      ARCUS_PROCESSES: '2',
      ARCUS_ADMIN_LISTEN: `127.0.0.1:${adminPort}`,
      ARCUS_DECISION_LOG: join(folder.path, 'decisions.log'),
      // No test waits for its end: each says when what is open closes.
      ARCUS_DRAIN_SECONDS: '600',
      ...options.env,
    },
  });
  let output = '';
  main.stdout.on('data', (chunk) => {
    output += chunk;
  });
  const exited = once(main, 'exit');
  t.after(async () => {
    main.kill('SIGKILL');
    await exited;
    await Promise.all([store.close(), origin.close(), echo.close()]);
    folder.close();
  });
  // Each on a connection of its own: one that is kept may be ended by the worker just as it is taken again.
  const metrics = async () => {
    const answer = await fetch(`http://127.0.0.1:${adminPort}/metrics`, { headers: { connection: 'close' } });
    return answer.text();
  };
  const client = async (through = port) => {
    const client = await RawClient.connect({ port: through, ...LONG });
    t.after(() => client.socket.destroy());
    return client;
  };
  const ask = async (through = port) => {
    const one = await client(through).catch(() => null);
    if (!one) return 0;
    await one.send(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    const { status } = await one.readResponse();
    one.socket.destroy();
    return status;
  };
  const tunnel = async () => {
    const one = await client();
    await one.send(`CONNECT 127.0.0.1:${echo.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.equal((await one.readResponse({ method: 'CONNECT' })).status, 200);
    return one;
  };
  /** What was logged of the life and death of processes. */
  const events = (): Event[] => {
    // The last one may be half of a line.
    const lines = output
      .split('\n')
      .slice(0, -1)
      .filter((line) => line.includes('"msg":"a process of the worker '));
    return lines.map((line) => JSON.parse(line) as Event);
  };
  const pids = (): number[] =>
    events().flatMap(({ msg, pid }) => (msg === 'a process of the worker started' ? pid : []));
  const logged = (message: string) => until(() => output.includes(message), { what: message, ...LONG });
  // Answers and numbers come also while one of the two is not ready yet.
  await logged('"msg":"worker is ready"');
  await answered(store, 'acme', (s) => s.applied === 1);
  await until(
    async () => /^arcus_listeners\{process="0"\} 1\narcus_listeners\{process="1"\} 1$/m.test(await metrics()),
    LONG,
  );
  return {
    store,
    /** Of the worker's data. */
    folder: folder.path,
    port,
    url: origin.url,
    main,
    exited,
    metrics,
    client,
    ask,
    tunnel,
    pids,
    events,
    output: () => output,
    logged,
  };
}

export interface Failure {
  readonly what: 'keep-alive' | 'new connection';
  readonly error: string;
  /** When its connection was begun. */
  readonly since: number;
}

/** Clients that ask as fast as they are answered, each over one connection as long as it lasts, or over a new one each time. */
export function startLoad(port: number, url: string, clients = 6) {
  const failures: Failure[] = [];
  const asked = { 'keep-alive': 0, 'new connection': 0 };
  /** By client. */
  const answers: number[] = [];
  /** Connections that ended after an answer that said so. */
  let announced = 0;
  let running = true;

  async function client(what: Failure['what']): Promise<void> {
    const me = answers.push(0) - 1;
    let connection: RawClient | null = null;
    let since = 0;
    while (running) {
      if (connection === null) since = performance.now();
      try {
        connection ??= await RawClient.connect({ port, ...LONG });
        const end = what === 'new connection' ? 'Connection: close\r\n' : '';
        await connection.send(`GET ${url}/ HTTP/1.1\r\nHost: x\r\n${end}\r\n`);
        const { status, headers } = await connection.readResponse();
        if (status !== 200) throw new Error(`status ${status}`);
        asked[what]++;
        answers[me]!++;
        if (headers.connection !== 'close') continue;
        if (what === 'keep-alive') announced++;
      } catch (error) {
        failures.push({ what, error: String(error), since });
      }
      connection?.socket.destroy();
      connection = null;
    }
    connection?.socket.destroy();
  }
  const all = Promise.all(
    (['keep-alive', 'new connection'] as const).flatMap((what) => Array.from({ length: clients }, () => client(what))),
  );
  return {
    failures,
    asked,
    announced: () => announced,
    /** Resolves once each client has so many answers. */
    each: (count: number) => until(() => answers.every((n) => n >= count), LONG),
    async stop() {
      running = false;
      await all;
    },
  };
}
