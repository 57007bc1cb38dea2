import { isRefused } from '@arcus/protocol/http1/request.ts';
import { parseResponseHead, type ResponseHead } from '@arcus/protocol/http1/response.ts';
import { latin1 } from '../bytes.ts';
import type { HttpLimits } from './options.ts';
import { HeadPieces, headEnd } from './pieces.ts';

/** So much of a read is looked at as text while a head is expected: most heads, and short bodies with them. */
const HEAD_WINDOW = 2048;
const TOO_LONG = 'the head of the answer is too long';

export interface HeadReceiver {
  /**
   * A whole head, which `text` holds up to `end`; what is behind it begins in `chunk` at `from`. Answers whether another
   * head follows.
   */
  onHead(head: ResponseHead, text: string, end: number, chunk: Buffer, from: number): boolean;
  onBadHead(reason: string): void;
}

/** Reads heads off what a site sends: interim ones, then that of the answer. Only a head becomes a string. */
export class AnswerHeads {
  #pieces: HeadPieces | null = null;

  /** A part of a head has come. */
  get begun(): boolean {
    return this.#pieces !== null;
  }

  read(chunk: Buffer, limits: HttpLimits, to: HeadReceiver): void {
    const most = limits.header_bytes;
    // Where the bytes behind `text` begin in this chunk.
    let from = Math.min(chunk.length, HEAD_WINDOW);
    let text = latin1(chunk, 0, from);
    for (;;) {
      const pieces = this.#pieces;
      let end = headEnd(pieces, text);
      if (end < 0 && from < chunk.length) {
        text += latin1(chunk, from);
        from = chunk.length;
        end = headEnd(pieces, text);
      }
      if (end < 0) {
        this.#gather(text, most, to);
        return;
      }
      if (pieces !== null) {
        end += pieces.text.length;
        text = pieces.text + text;
        this.#pieces = null;
      }
      const head = end > most ? TOO_LONG : parseResponseHead(text, end, { line: most, fields: limits.header_fields });
      if (typeof head === 'string' || isRefused(head)) {
        to.onBadHead(typeof head === 'string' ? head : head.reason);
        return;
      }
      // What is behind the head is the end of this chunk: the pieces before it held no whole head.
      if (!to.onHead(head, text, end, chunk, from - (text.length - end))) return;
      text = text.slice(end);
      if (text === '' && from === chunk.length) return;
    }
  }

  /** A piece of a head that goes on: nobody may make us wait for what is wrong already. */
  #gather(piece: string, most: number, to: HeadReceiver): void {
    this.#pieces ??= new HeadPieces();
    const broken = this.#pieces.isBrokenIn(piece);
    this.#pieces.add(piece);
    if (this.#pieces.text.length > most) to.onBadHead(TOO_LONG);
    else if (broken) to.onBadHead('a bare carriage return or line feed');
  }
}
