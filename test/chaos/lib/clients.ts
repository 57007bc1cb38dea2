/** People who browse all the time, and note which release each answer was of. */
import { setTimeout as wait } from 'node:timers/promises';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { type Place, type Question, questions, readAnswer } from './config.ts';

export interface Sample {
  readonly tenant: string;
  readonly worker: string;
  /** ms of one clock for all clients. */
  readonly start: number;
  readonly end: number;
  /** The write whose config answered. */
  readonly n: number;
}

export interface Trouble {
  readonly tenant: string;
  readonly worker: string;
  readonly start: number;
  readonly end: number;
  readonly why: string;
}

/** Where a worker can be reached. */
export interface Reachable {
  readonly id: string;
  readonly host: string;
}

export class Clients {
  readonly samples: Sample[] = [];
  /** No answer, or one that cannot be right. */
  readonly troubles: Trouble[] = [];
  readonly #running: Promise<void>[] = [];
  #stopped = false;
  #count = 0;

  /** Two people on keep-alive connections, and one who connects anew each time. */
  add(worker: Reachable, place: Place, pauseMs: number): void {
    for (const keep of [true, true, false]) this.#running.push(this.#browse(worker, place, pauseMs, keep));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  /** One question on a connection of its own: the write whose config answers. */
  async ask(worker: Reachable, place: Place, question: Question = 'which.test'): Promise<number> {
    const client = await RawClient.connect({ host: worker.host, port: place.port, deadline: 3000 });
    try {
      return await this.#question(client, question);
    } finally {
      client.socket.destroy();
    }
  }

  async #question(client: RawClient, question: Question): Promise<number> {
    const url = `http://${question}/${++this.#count}`;
    const { status, headers, text } = await client.request(`GET ${url} HTTP/1.1\r\nHost: ${question}\r\n\r\n`);
    return readAnswer(question, status, headers.location ?? '', text);
  }

  async #browse(worker: Reachable, place: Place, pauseMs: number, keep: boolean): Promise<void> {
    const { tenant, port } = place;
    let client: RawClient | undefined;
    for (let turn = 0; !this.#stopped; turn++) {
      const start = performance.now();
      try {
        client ??= await RawClient.connect({ host: worker.host, port, deadline: 30_000 });
        const n = await this.#question(client, questions[turn % questions.length]!);
        this.samples.push({ tenant, worker: worker.id, start, end: performance.now(), n });
      } catch (error) {
        const why = (error as Error).message;
        this.troubles.push({ tenant, worker: worker.id, start, end: performance.now(), why });
        client?.socket.destroy();
        client = undefined;
      }
      if (!keep) {
        client?.socket.destroy();
        client = undefined;
      }
      await wait(pauseMs * (0.5 + Math.random()));
    }
    client?.socket.destroy();
  }
}
