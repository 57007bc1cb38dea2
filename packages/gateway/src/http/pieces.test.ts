import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HeadPieces, headEnd } from './pieces.ts';

/** Where the pieces end, and which of them is the first with a broken line end; -1 each for none. */
function read(list: readonly string[]): { end: number; broken: number } {
  const pieces = new HeadPieces();
  let end = -1;
  let broken = -1;
  for (const [i, piece] of list.entries()) {
    const found = pieces.endIn(piece);
    if (found >= 0 && end < 0) end = pieces.text.length + found;
    if (pieces.isBrokenIn(piece) && broken < 0) broken = i;
    pieces.add(piece);
  }
  assert.equal(pieces.text, list.join(''));
  return { end, broken };
}
/** All ways to cut a text in up to three pieces, and one byte at a time. */
function* cuts(text: string): Generator<string[]> {
  yield [...text];
  for (let a = 1; a < text.length; a++)
    for (let b = a; b < text.length; b++) yield [text.slice(0, a), text.slice(a, b), text.slice(b)];
}

describe('a head in pieces', () => {
  it('ends at the same place however it is cut', () => {
    for (const text of ['a: b\r\n\r\nrest', '\r\n\r\n', 'a\r\n\r\n\r\n', 'a\r\nb\r\n', '\r\n\r']) {
      const end = headEnd(null, text);
      for (const list of cuts(text)) assert.deepEqual(read(list), { end, broken: -1 }, JSON.stringify(list));
    }
  });

  it('has the same broken line ends however it is cut', () => {
    for (const text of ['\na', 'a\nb', 'a\r\n\nb', 'a\rb', '\r\r\n', 'ab\r\r\nc'])
      for (const list of cuts(text)) assert.ok(read(list).broken >= 0, JSON.stringify(list));
  });
});
