import { hasBareLineEnd } from '@arcus/protocol/http1/grammar.ts';

const END = '\r\n\r\n';
/** So much of what came before may be a part of the end. */
const OVERLAP = END.length - 1;

/** A head that comes in pieces: each byte of it is searched once, however many pieces there are. */
export class HeadPieces {
  /** All that was added. It becomes one string in memory only when it is read. */
  text = '';
  #last = '';

  /** Index just behind the head in `piece`, which follows what was added; -1 when it does not end there. */
  endIn(piece: string): number {
    const found = (this.#last + piece).indexOf(END);
    return found < 0 ? -1 : found + END.length - this.#last.length;
  }

  /** Is there a line end in `piece` that is none? */
  isBrokenIn(piece: string): boolean {
    // The first of the overlap was looked at with the one before it, unless there was none.
    return hasBareLineEnd(this.#last + piece, this.#last.length > 1 ? 1 : 0);
  }

  add(piece: string): void {
    this.text += piece;
    this.#last = (this.#last + piece).slice(-OVERLAP);
  }
}

/** As `endIn`, where nothing may have been added yet. */
export function headEnd(pieces: HeadPieces | null, piece: string): number {
  if (pieces !== null) return pieces.endIn(piece);
  const found = piece.indexOf(END);
  return found < 0 ? -1 : found + END.length;
}
