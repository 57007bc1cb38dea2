/** One row's workplace: a folder, processes on their cores, and an end that leaves nothing behind. */
import { chmodSync, truncateSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { Child } from '@arcus/testkit/child.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import type { Cores } from './machine.ts';

export interface Closable {
  close(): void | Promise<void>;
}

/** A proxy under test. */
export interface ProxyUnderTest {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
  /** Value of Proxy-Authorization; '' when the proxy does not ask. */
  readonly authorization: string;
  /** connect: asks for tunnels by CONNECT; fixed: every connection is a tunnel to the one origin. */
  readonly tunnels: 'connect' | 'fixed';
  /** Files that grow with each request: emptied between two measurements. */
  readonly logs: readonly string[];
  /** How long it may take to be as fast as it gets, s of load. */
  readonly warmSeconds: number;
}

export interface StartOptions {
  /** Runs on the core of the proxy under test, or on both cores. */
  measured?: boolean | 'both';
  /** Is asked to end (SIGTERM) before it is killed. */
  gentle?: boolean;
  env?: NodeJS.ProcessEnv;
  ready: () => boolean | Promise<boolean>;
}

export class Lab implements Closable {
  readonly #dir = tempDir('bench');
  readonly #open: Closable[] = [];
  readonly #cores: Cores;
  /** Options of the Node that runs Arcus. */
  readonly nodeOptions: readonly string[];

  constructor(cores: Cores, nodeOptions: readonly string[] = []) {
    this.#cores = cores;
    this.nodeOptions = nodeOptions;
    // Some neighbours give up root and must still read and write here.
    chmodSync(this.#dir.path, 0o777);
  }

  /** Another lab of the same kind, closed on its own. */
  nested(): Lab {
    return new Lab(this.#cores, this.nodeOptions);
  }

  path(name: string): string {
    return join(this.#dir.path, name);
  }

  write(name: string, content: string): string {
    const path = this.path(name);
    writeFileSync(path, content, { mode: 0o644 });
    return path;
  }

  /** Closed at the end of the row, the last first. */
  keep<T extends Closable>(thing: T): T {
    this.#open.push(thing);
    return thing;
  }

  /** Starts a process on its core. */
  async start(command: string, args: readonly string[], options: StartOptions): Promise<Child> {
    const { proxy, rest } = this.#cores;
    const cores = options.measured === 'both' ? `${proxy},${rest}` : options.measured ? proxy : rest;
    const child = await Child.start({
      command: 'taskset',
      args: ['-c', String(cores), command, ...args],
      ready: options.ready,
      ...(options.env ? { env: options.env } : {}),
    });
    this.keep({ close: () => child.kill(options.gentle ? 'SIGTERM' : 'SIGKILL') });
    return child;
  }

  async close(): Promise<void> {
    for (const thing of this.#open.splice(0).reverse()) await thing.close();
    this.#dir.close();
  }
}

export const emptyLogs = (proxy: ProxyUnderTest): void => {
  for (const file of proxy.logs) truncateSync(file);
};

/** Does somebody accept connections there? */
export const listens = (port: number, host = '127.0.0.1'): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = net.connect(port, host);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });

export { freePort };
