/**
 * The line of one decision, written as bytes. It is made for each request: put together as a string it took a twentieth
 * of the time of one, most of it to turn pieces of strings into bytes.
 */
import type { Decision } from '@arcus/gateway/session.ts';

/** All that could end a line, close a string or drive a terminal; and all but ASCII, so that a line's bytes are its characters. */
const unsafe = /[^ !#-[\]-~]/;
const unsafeLeft = /[\u007f-\uffff]/g;

/** `text` as a JSON string that is one line in every reader, ASCII only. */
export function quote(text: string): string {
  if (text === '') return '""';
  if (!unsafe.test(text)) return `"${text}"`;
  return JSON.stringify(text).replace(unsafeLeft, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

/** What a session has in common with many others: who, where, which way, how decided. */
function fixedPart(d: Decision): Uint8Array {
  return bytes(
    `,"tenant":"${d.tenant}","version":${d.version},"server":"${d.server}","user":${quote(d.user)},"client":"${d.client}","method":${quote(d.method)},"target":${quote(d.target)},"escaper":"${d.escaper}","peer":"${d.peer}","action":"${d.action}","code":"${d.code}","rule":${quote(d.rule)},"reason":${quote(d.reason)},"status":${d.status},"protocol":${quote(d.protocol)},"path":`,
  );
}

const BYTES_IN = bytes(',"bytes_in":');
const BYTES_OUT = bytes(',"bytes_out":');
const MS = bytes(',"ms":');
const END = bytes('}\n');
/** Room for all that is neither fixed nor the path: names, and numbers of 24 characters at most. */
const NUMBERS = 160;
/** What JSON may make of one character. */
const ESCAPED = 6;
/** Up to this length a path is copied character by character, which is faster than any call. */
const SHORT = 48;

/** Of the decision written last: one after another of the same client to the same site differ in little. */
let last: Decision | null = null;
let fixed: Uint8Array = bytes('');
let time = -1;
let begin: Uint8Array = fixed;

function isLike(a: Decision, b: Decision): boolean {
  return (
    a.target === b.target &&
    a.client === b.client &&
    a.user === b.user &&
    a.status === b.status &&
    a.method === b.method &&
    a.peer === b.peer &&
    a.code === b.code &&
    a.rule === b.rule &&
    a.reason === b.reason &&
    a.tenant === b.tenant &&
    a.version === b.version &&
    a.server === b.server &&
    a.escaper === b.escaper &&
    a.action === b.action &&
    a.protocol === b.protocol
  );
}

/**
 * Writes the line, newline included, ASCII, to `out` from `at` on and answers where it ends; below 0 when it might not
 * fit: so many bytes more than there are would do. Names of config objects are plain by their schema; all else is quoted.
 */
export function writeDecision(d: Decision, out: Buffer, at: number): number {
  if (last === null || !isLike(d, last)) {
    fixed = fixedPart(d);
    last = d;
  }
  if (d.time !== time) {
    begin = bytes(`{"time":${d.time}`);
    time = d.time;
  }
  const room = out.length - at - NUMBERS - fixed.length - ESCAPED * d.path.length;
  if (room < 0) return room;
  let end = copy(begin, out, at);
  out.set(fixed, end);
  end = writePath(d.path, out, end + fixed.length);
  end = writeNumber(d.bytes_in, out, copy(BYTES_IN, out, end));
  end = writeNumber(d.bytes_out, out, copy(BYTES_OUT, out, end));
  end = writeNumber(Math.round(d.ms * 1000) / 1000, out, copy(MS, out, end));
  return copy(END, out, end);
}

/** Few bytes: faster than a call of `set`. */
function copy(from: Uint8Array, out: Buffer, at: number): number {
  for (let i = 0; i < from.length; i++) out[at + i] = from[i]!;
  return at + from.length;
}

function writePath(path: string, out: Buffer, at: number): number {
  if (path.length > SHORT) return at + out.write(quote(path), at, 'latin1');
  let end = at;
  out[end++] = 34;
  for (let i = 0; i < path.length; i++) {
    const c = path.charCodeAt(i);
    if (c < 32 || c > 126 || c === 34 || c === 92) return at + out.write(quote(path), at, 'latin1');
    out[end++] = c;
  }
  out[end++] = 34;
  return end;
}

function writeNumber(value: number, out: Buffer, at: number): number {
  // Whole, and small enough for fast arithmetic.
  if (value !== (value | 0) || value < 0) return at + out.write(String(value), at, 'latin1');
  let digits = 1;
  for (let rest = (value / 10) | 0; rest > 0; rest = (rest / 10) | 0) digits++;
  let rest = value | 0;
  for (let i = at + digits - 1; i >= at; i--) {
    const next = (rest / 10) | 0;
    out[i] = 48 + rest - next * 10;
    rest = next;
  }
  return at + digits;
}
