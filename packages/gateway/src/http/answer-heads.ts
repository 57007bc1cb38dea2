import { isRefused } from '@arcus/protocol/http1/request.ts';
import { parseResponseHead, type ResponseHead } from '@arcus/protocol/http1/response.ts';
import { latin1 } from '../bytes.ts';
import { responseText } from './heads.ts';
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

/**
 * Reads heads off what one connection to a site sends: interim ones, then that of the answer. Only a head becomes a string.
 * The last one is remembered: answers of a site often begin with the same bytes.
 */
export class AnswerHeads {
  #pieces: HeadPieces | null = null;
  #limits: HttpLimits | null = null;
  #known = '';
  #head: ResponseHead | null = null;
  // The text that went to the client, and what it was made of.
  #sent: ResponseHead | null = null;
  #unchunk = false;
  #persist = false;
  #via = '';
  #text = '';

  /** A part of a head has come. */
  get begun(): boolean {
    return this.#pieces !== null;
  }

  read(chunk: Buffer, limits: HttpLimits, to: HeadReceiver): void {
    const most = limits.header_bytes;
    // Where the bytes behind `text` begin in this chunk.
    let from = Math.min(chunk.length, HEAD_WINDOW);
    let text = latin1(chunk, 0, from);
    const known = this.#known;
    if (this.#pieces === null && known !== '' && this.#limits === limits && text.slice(0, known.length) === known) {
      if (!to.onHead(this.#head!, text, known.length, chunk, known.length)) return;
      text = text.slice(known.length);
      if (text === '' && from === chunk.length) return;
    }
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
      // Of a long text the part would hold all.
      if (pieces === null && text.length <= HEAD_WINDOW) {
        this.#limits = limits;
        // A string of its own: to compare with a part of another takes far longer.
        const start = from - text.length;
        this.#known = latin1(chunk, start, start + end);
        this.#head = head;
      }
      // What is behind the head is the end of this chunk: the pieces before it held no whole head.
      if (!to.onHead(head, text, end, chunk, from - (text.length - end))) return;
      text = text.slice(end);
      if (text === '' && from === chunk.length) return;
    }
  }

  /** The head as it goes to the client: see `responseText`. */
  textOf(head: ResponseHead, unchunk: boolean, persist: boolean, via: string): string {
    if (head === this.#sent && unchunk === this.#unchunk && persist === this.#persist && via === this.#via)
      return this.#text;
    const text = responseText(head, unchunk, persist, via);
    // Without a Date of the site's it has the time in it.
    if (head === this.#head && head.hasDate) {
      this.#sent = head;
      this.#unchunk = unchunk;
      this.#persist = persist;
      this.#via = via;
      this.#text = text;
    }
    return text;
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
