import type { Case, Reply } from './case.ts';
import { RequestReader } from './framing.ts';

export interface OriginPort {
  send(bytes: string): void;
  end(how: 'fin' | 'reset'): void;
}

/** The origin of one case: what it says on which of its connections. */
export class OriginScript {
  readonly #replies: Reply[];
  readonly #case: Case;
  #next = 0;

  constructor(c: Case) {
    this.#case = c;
    this.#replies = (c.origin ?? []).map((r) => (typeof r === 'string' ? { send: r } : r));
  }

  /** A connection; call the result with all that was received on it so far, first with ''. */
  connection(port: OriginPort): (received: string) => void {
    const reader = new RequestReader();
    const talk = [...(this.#case.talk ?? [])];
    const waiting: Reply[] = [];
    let heard = 0;
    return (received) => {
      for (let next = talk[0]; next !== undefined; next = talk[0]) {
        const found = received.indexOf(next.hear, heard);
        if (found < 0) break;
        heard = found + next.hear.length;
        talk.shift();
        if (next.say) port.send(next.say);
        if (next.end) port.end(next.end);
      }
      if (this.#replies.length === 0) return;
      const { heads, requests } = reader.read(received);
      for (let i = 0; i < heads; i++) {
        const reply = this.#replies[this.#next++];
        if (reply === undefined) throw new Error('the origin got more requests than it has replies');
        waiting.push(reply);
        if (reply.early) port.send(reply.early);
        if (reply.early && reply.send === undefined && reply.end) port.end(reply.end);
      }
      for (let i = 0; i < requests; i++) {
        const reply = waiting.shift()!;
        if (reply.send !== undefined) {
          if (reply.send) port.send(reply.send);
          if (reply.end) port.end(reply.end);
        }
      }
    };
  }
}
