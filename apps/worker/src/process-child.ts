/** One process of a worker, as the process in front sees it. */
import { type ChildProcess, fork } from 'node:child_process';
import type { TenantStatus } from '@arcus/control/release.ts';
import { latch } from './lanes.ts';
import type { Gauge } from './metrics.ts';
import type { CounterValues, FromProcess, ToProcess } from './process-messages.ts';

export interface ChildOptions {
  readonly slot: number;
  /** Id of the worker. */
  readonly id: string;
  readonly program: URL;
  readonly hear: (child: Child, message: FromProcess) => void;
  readonly failed: (child: Child, error: Error) => void;
  readonly exited: (child: Child, code: number | null, signal: NodeJS.Signals | null) => void;
}

export class Child {
  readonly slot: number;
  /** By performance.now. */
  readonly startedAt = performance.now();
  readonly statuses = new Map<string, TenantStatus>();
  readonly counters = new Map<string, CounterValues>();
  counts: { readonly tenants: number; readonly refused: number } = { tenants: 0, refused: 0 };
  problems: readonly string[] = [];
  gauges: readonly Gauge[] = [];
  ready = false;
  /** Told to stop. */
  leaving = false;
  /** Resolves when it is ready, or dead. */
  readonly started = latch();
  readonly gone = latch();
  #held = latch();
  readonly #process: ChildProcess;
  #kill: NodeJS.Timeout | undefined;

  constructor({ slot, id, program, hear, failed, exited }: ChildOptions) {
    this.slot = slot;
    const child = fork(program, {
      env: { ...process.env, ARCUS_WORKER_ID: id, ARCUS_PROCESS: String(slot) },
      serialization: 'advanced',
    });
    this.#process = child;
    child.on('message', (message) => hear(this, message as FromProcess));
    child.on('error', (error) => failed(this, error));
    child.once('exit', (code, signal) => {
      clearTimeout(this.#kill);
      this.ready = false;
      for (const { open } of [this.started, this.#held, this.gone]) open();
      exited(this, code, signal);
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get alive(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  tell(message: ToProcess, handle?: object): void {
    if (this.#process.connected) this.#process.send(message, handle as never, () => {});
  }

  /** Resolves when it writes nothing to the snapshot any more, each time anew, or is dead. */
  hold(): Promise<void> {
    this.#held = latch();
    this.tell({ type: 'hold' });
    return this.alive ? this.#held.promise : Promise.resolve();
  }

  /** It said that it holds. */
  held(): void {
    this.#held.open();
  }

  /** Asks it to end; what has not ended `patience` ms later is killed. Resolves when it is gone. */
  stop(how: { now: boolean; handover: boolean }, patience: number): Promise<void> {
    this.leaving = true;
    clearTimeout(this.#kill);
    this.#kill = setTimeout(() => this.kill(), patience);
    this.tell({ type: 'stop', ...how });
    return this.gone.promise;
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }
}
