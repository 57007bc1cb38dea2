import { Worker } from 'node:worker_threads';
import type { Fault } from '@arcus/gateway/fault.ts';
import type { Place, ReadText } from '@arcus/gateway/json_read.ts';
import { Problem } from './problem.ts';

/** What the thread answers. */
export type YamlAnswer = { json: string } | { faults: readonly (Fault & Place)[] };

/** Longest time for one text, ms. */
const PATIENCE = 10_000;
/** Texts that may wait for the thread. */
const QUEUE = 16;

interface Job {
  readonly text: string;
  readonly resolve: (answer: YamlAnswer) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Reads YAML in a thread of its own, one text after another. The thread starts with the first text, and is ended and
 * begun anew when one takes too long.
 */
export class YamlReader {
  readonly #patience: number;
  readonly #waiting: Job[] = [];
  #running: Job | null = null;
  #thread: Worker | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(patience = PATIENCE) {
    this.#patience = patience;
  }

  /** Throws Problem when there is no room, or it took too long. */
  async read(text: string): Promise<ReadText | { json: string }> {
    const answer = await new Promise<YamlAnswer>((resolve, reject) => {
      if (this.#waiting.length >= QUEUE) {
        reject(new Problem('unavailable', 'Too much YAML is being read; try again, or send JSON'));
        return;
      }
      this.#waiting.push({ text, resolve, reject });
      this.#next();
    });
    return 'json' in answer ? answer : { value: undefined, faults: answer.faults };
  }

  /** What waits is refused. */
  async close(): Promise<void> {
    const thread = this.#thread;
    this.#drop(new Problem('unavailable', 'The management service stops'));
    for (const job of this.#waiting.splice(0)) job.reject(new Problem('unavailable', 'The management service stops'));
    await thread?.terminate();
  }

  #next(): void {
    if (this.#running) return;
    const job = this.#waiting.shift();
    if (!job) return;
    this.#running = job;
    this.#thread ??= this.#start();
    this.#timer = setTimeout(() => {
      void this.#thread?.terminate();
      this.#drop(new Problem('too_large', 'The YAML takes too long to read: send it as JSON'));
    }, this.#patience);
    this.#thread.postMessage(job.text);
  }

  #start(): Worker {
    const thread = new Worker(new URL('./yaml-thread.ts', import.meta.url), {
      execArgv: ['--disable-warning=ExperimentalWarning'],
      resourceLimits: { maxOldGenerationSizeMb: 512 },
    });
    thread.unref();
    thread.on('message', (answer: YamlAnswer) => {
      const job = this.#running;
      this.#settled();
      job?.resolve(answer);
    });
    thread.on('error', (cause) => {
      if (thread === this.#thread)
        this.#drop(new Problem('too_large', 'The YAML cannot be read: send it as JSON', { cause }));
    });
    return thread;
  }

  /** The thread is of no use any more: what it had is refused, and the next text gets another. */
  #drop(error: Problem): void {
    const job = this.#running;
    this.#thread = null;
    this.#settled();
    job?.reject(error);
  }

  #settled(): void {
    clearTimeout(this.#timer);
    this.#running = null;
    this.#next();
  }
}
