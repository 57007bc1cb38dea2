import type { ByteStream } from './stream.ts';

/** Tells a slow peer from one that has stopped, when what was written has been waiting for it. */
export class Progress {
  #taken = -1;

  /** Has one of the peers taken anything since the last look? The first look says yes: there is nothing to compare. */
  async made(...streams: ByteStream[]): Promise<boolean> {
    const before = this.#taken;
    let taken = 0;
    for (const stream of streams) taken += await stream.taken();
    this.#taken = taken;
    return taken !== before;
  }
}
