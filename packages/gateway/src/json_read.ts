/**
 * JSON as it may cross an edge: RFC 8259, held to I-JSON (RFC 7493 section 2.3: no key twice, no half characters), no
 * deeper than a person would write. In steps, over pieces of text: a document of 64 MiB must not hold the event loop.
 */
import { type Fault, pointer } from './fault.ts';
import { run, type Steps } from './slices.ts';

/** Objects and lists within each other, at most. */
export const MAX_DEPTH = 64;
/** Keys of one object, at most: no schema has so many, and each of them would be a fault. */
export const MAX_KEYS = 1000;
/** So many faults of a text are told: a person fixes no more at a time. */
export const MAX_FAULTS = 100;
/** Longest string or number, characters: it has to be held in one piece. */
const MAX_TOKEN = 1024 * 1024;
/** Characters of a step. */
const PIECE = 64 * 1024;

/** Both count from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface ReadText {
  /** Undefined when the text cannot be read. */
  readonly value: unknown;
  /** What is wrong with the text itself; each with its place. */
  readonly faults: readonly (Fault & Place)[];
}

/** Reads a whole text at once. */
export const readJson = (text: string): ReadText => run(jsonSteps(text));

/** As `readJson`, in steps. */
export const jsonSteps = (text: string): Steps<ReadText> => readJsonSteps(pieces(text));

function* pieces(text: string): Generator<string> {
  for (let at = 0; at < text.length; at += PIECE) yield text.slice(at, at + PIECE);
}

/** Reads a text that comes in pieces; pauses after each. An empty text is a fault. */
export function* readJsonSteps(text: Iterable<string>): Steps<ReadText> {
  const reader = new Reader();
  for (const piece of text) {
    if (!reader.take(piece)) break;
    yield;
  }
  return reader.end();
}

interface Frame {
  readonly list: unknown[] | null;
  readonly object: Record<string, unknown> | null;
  key: string;
  keys: number;
  /** It has a comma, so that one more must come. */
  open: boolean;
}

/** What may come next. */
type Wanted = 'value' | 'key' | 'colon' | 'comma' | 'nothing';

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
/** What makes a string more than the text between its quotes. */
const SPECIAL = /[\\\u0000-\u001f]/;
const words: Readonly<Record<string, boolean | null>> = { true: true, false: false, null: null };

class Reader {
  #text = '';
  /** Where the next token begins, in `#text`. */
  #at = 0;
  #line = 1;
  /** Where the line begins, in `#text`; negative when that is in a piece before. */
  #lineStart = 0;
  #wanted: Wanted = 'value';
  #root: unknown;
  #failed = false;
  readonly #stack: Frame[] = [];
  readonly #faults: (Fault & Place)[] = [];

  /** False once nothing more need be read. */
  take(piece: string): boolean {
    this.#lineStart -= this.#at;
    this.#text = this.#at === this.#text.length ? piece : this.#text.slice(this.#at) + piece;
    this.#at = 0;
    this.#read(false);
    if (!this.#failed && this.#text.length - this.#at > MAX_TOKEN) {
      this.#fail('too_big', `a string is longer than ${MAX_TOKEN} characters`);
    }
    return !this.#failed;
  }

  end(): ReadText {
    if (!this.#failed) this.#read(true);
    // Not a word of the text itself, which may hold a secret.
    if (!this.#failed && this.#wanted !== 'nothing') this.#fail('syntax', 'this is not JSON: it ends too early');
    return { value: this.#faults.length === 0 ? this.#root : undefined, faults: this.#faults };
  }

  /** All tokens that are whole; the last one is when `last`. */
  #read(last: boolean): void {
    while (!this.#failed) {
      const c = this.#skipSpace();
      if (c === -1) return;
      const top = this.#stack[this.#stack.length - 1];
      if (this.#wanted === 'comma') {
        if (c === 44) {
          top!.open = true;
          this.#wanted = top!.object ? 'key' : 'value';
          this.#at++;
        } else if (c === (top!.object ? 125 : 93)) this.#leave();
        else this.#fail('syntax', 'this is not JSON');
      } else if (this.#wanted === 'colon') {
        if (c === 58) {
          this.#wanted = 'value';
          this.#at++;
        } else this.#fail('syntax', 'this is not JSON');
      } else if (this.#wanted === 'key') {
        if (c === 125 && !top!.open) this.#leave();
        else if (c !== 34) this.#fail('syntax', 'this is not JSON');
        else if (!this.#string(last)) return;
      } else if (this.#wanted === 'nothing') this.#fail('syntax', 'this is not JSON');
      else if (c === 34) {
        if (!this.#string(last)) return;
      } else if (c === 123 || c === 91) this.#enter(c === 123);
      else if (c === 93 && top?.list && !top.open) this.#leave();
      else if (!this.#word(last)) return;
    }
  }

  /** Reads a number, true, false or null; false when its end may not have come yet. */
  #word(last: boolean): boolean {
    const text = this.#text;
    NUMBER.lastIndex = this.#at;
    const word = NUMBER.test(text)
      ? text.slice(this.#at, NUMBER.lastIndex)
      : ['true', 'false', 'null'].find((known) => text.startsWith(known, this.#at));
    const end = this.#at + (word ?? '').length;
    // `fal` may become a word, `1` a longer number, and `1e` has to: for the pattern that is a 1 with something after it.
    if (!last && text.length - end < (word === undefined ? 5 : 3) && !/^[ \t\r\n,\]}]/.test(text.slice(end)))
      return false;
    if (word === undefined) this.#fail('syntax', 'this is not JSON');
    else {
      const value = Object.hasOwn(words, word) ? words[word]! : Number(word);
      if (value === Infinity || value === -Infinity) this.#add('not_finite', 'a number is too large');
      this.#at = end;
      this.#value(value);
    }
    return true;
  }

  /** The next character that means something, -1 when there is none yet. */
  #skipSpace(): number {
    const text = this.#text;
    for (; this.#at < text.length; this.#at++) {
      const c = text.charCodeAt(this.#at);
      if (c === 10) {
        this.#line++;
        this.#lineStart = this.#at + 1;
      } else if (c !== 32 && c !== 13 && c !== 9) return c;
    }
    return -1;
  }

  /** Reads a string; false when its end has not come yet. */
  #string(last: boolean): boolean {
    const text = this.#text;
    const start = this.#at;
    let end = text.indexOf('"', start + 1);
    while (end >= 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
    if (end < 0) {
      if (last) this.#fail('syntax', 'this is not JSON: a string has no end');
      return false;
    }
    let value = text.slice(start + 1, end);
    if (SPECIAL.test(value)) {
      try {
        value = JSON.parse(text.slice(start, end + 1)) as string;
      } catch {
        this.#fail('syntax', 'this is not JSON: a string has characters that must be escaped, or a wrong escape');
        return true;
      }
    }
    if (!value.isWellFormed()) this.#add('half_character', 'a string has half a character (a lone surrogate)');
    this.#at = end + 1;
    if (this.#wanted === 'key') this.#key(value, start);
    else this.#value(value);
    return true;
  }

  #key(key: string, start: number): void {
    const top = this.#stack[this.#stack.length - 1]!;
    if (++top.keys > MAX_KEYS) {
      this.#fail('too_big', `an object has more than ${MAX_KEYS} keys`);
      return;
    }
    top.key = key;
    this.#wanted = 'colon';
    if (key === '__proto__') this.#add('reserved_key', 'the key "__proto__" is not taken', start, key);
    else if (Object.hasOwn(top.object!, key)) {
      this.#add('duplicate_key', `the key "${key}" is there twice`, start, key);
    }
  }

  #value(value: unknown): void {
    const top = this.#stack[this.#stack.length - 1];
    this.#wanted = top ? 'comma' : 'nothing';
    if (!top) this.#root = value;
    else if (top.list) top.list.push(value);
    else if (top.key !== '__proto__') top.object![top.key] = value;
  }

  #enter(isObject: boolean): void {
    if (this.#stack.length === MAX_DEPTH) {
      this.#fail('too_deep', `nested deeper than ${MAX_DEPTH}`);
      return;
    }
    const frame: Frame = { list: isObject ? null : [], object: isObject ? {} : null, key: '', keys: 0, open: false };
    this.#value(frame.list ?? frame.object);
    this.#stack.push(frame);
    this.#wanted = isObject ? 'key' : 'value';
    this.#at++;
  }

  #leave(): void {
    this.#stack.pop();
    this.#wanted = this.#stack.length === 0 ? 'nothing' : 'comma';
    this.#at++;
  }

  #fail(code: string, message: string): void {
    this.#add(code, message);
    this.#failed = true;
  }

  /** A fault at the place of the token; `key` is one that its object does not have. */
  #add(code: string, message: string, at = this.#at, key?: string): void {
    if (this.#faults.length >= MAX_FAULTS) return;
    const path = this.#stack.map(({ object, list, key }) => (object ? key : String(list!.length - 1)));
    const top = this.#stack[this.#stack.length - 1];
    if (key !== undefined) path[path.length - 1] = key;
    else if (this.#wanted === 'key') path.pop();
    // The value that is read now is not in its list yet.
    else if (top?.list) path[path.length - 1] = String(top.list.length);
    const where = code === 'syntax' || code === 'too_deep' ? '' : pointer(...path);
    this.#faults.push({ pointer: where, code, message, line: this.#line, column: at - this.#lineStart + 1 });
  }
}

function isEscaped(text: string, quote: number): boolean {
  let from = quote;
  while (text.charCodeAt(from - 1) === 92) from--;
  return (quote - from) % 2 === 1;
}
