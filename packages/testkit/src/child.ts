import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { freeze } from './freeze.ts';
import { until } from './until.ts';

export interface ChildOptions {
  command: string;
  args: readonly string[];
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** True once the process answers. Asked again and again after each start. */
  ready: () => boolean | Promise<boolean>;
  /** Milliseconds for a start; default 60,000. */
  deadline?: number;
  /** Called once it was closed, e.g. to remove its folder. */
  cleanup?: () => void;
}

// `setpriv --pdeathsig` lets the kernel kill the child even when this process is killed with SIGKILL.
const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find((file) => existsSync(file));

const running = new Set<ChildProcess>();
let hooked = false;

function hook(): void {
  if (hooked) return;
  hooked = true;
  process.once('exit', () => {
    for (const child of running) child.kill('SIGKILL');
  });
}

/** A process under test. It dies with this process, whatever happens. */
export class Child {
  readonly #options: ChildOptions;
  #child: ChildProcess | undefined;
  #output = '';

  private constructor(options: ChildOptions) {
    this.#options = options;
  }

  /** Starts the process and resolves when it is ready. */
  static async start(options: ChildOptions): Promise<Child> {
    const child = new Child(options);
    await child.start();
    return child;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  /** The last 64 KiB of what it printed, both streams, over all its starts. */
  get output(): string {
    return this.#output;
  }

  /** Starts it (again) with the same arguments; nothing when it runs. */
  async start(): Promise<void> {
    if (this.#child) return;
    hook();
    const { command, args, env, cwd, ready, deadline = 60_000 } = this.#options;
    const [file, argv] = setpriv ? [setpriv, ['--pdeathsig', 'KILL', command, ...args]] : [command, [...args]];
    const child = spawn(file, argv, { env: env ?? process.env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    running.add(child);
    let failed: Error | undefined;
    const collect = (chunk: Buffer) => {
      this.#output = (this.#output + chunk.toString('utf8')).slice(-65_536);
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.once('error', (error) => {
      failed = error;
    });
    child.once('exit', (code, signal) => {
      running.delete(child);
      failed ??= new Error(`${command} exited with ${signal ?? code}`);
      if (this.#child === child) this.#child = undefined;
    });
    try {
      await until(() => failed !== undefined || ready(), { deadline, what: `${command} is ready` });
      if (failed) throw failed;
    } catch (error) {
      await this.kill('SIGKILL');
      throw new Error(`${command} did not start: ${(error as Error).message}\n${this.#output.slice(-2000)}`, {
        cause: error,
      });
    }
  }

  /** Sends a signal and resolves when the process is gone. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (!child) return;
    const gone = new Promise<void>((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) resolve();
      else child.once('exit', () => resolve());
    });
    child.kill(signal);
    // A stopped process takes a SIGTERM only when it goes on.
    if (signal !== 'SIGKILL') child.kill('SIGCONT');
    await gone;
    this.#child = undefined;
  }

  /** Freezes it and resolves once all its threads stand still: its sockets stay open and nobody answers. */
  async stop(): Promise<void> {
    if (this.pid > 0) await freeze(this.pid);
  }

  /** Lets a frozen process go on. */
  cont(): void {
    this.#child?.kill('SIGCONT');
  }

  /** Kills it with `signal` and starts it again with the same arguments, ports and data. */
  async restart(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.kill(signal);
    await this.start();
  }

  async close(): Promise<void> {
    await this.kill('SIGKILL');
    this.#options.cleanup?.();
  }
}
