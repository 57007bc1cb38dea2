/**
 * An independent and simple reader of well-formed HTTP/1 messages: it tells an origin when a request is whole, and
 * a test what the client got. It shares no line with the parser under test.
 */

export interface Message {
  start: string;
  /** Lower-case names; fields of one name joined with ', '. */
  fields: Record<string, string>;
  body: string;
  /** Index behind its last character, or behind what is there. */
  end: number;
  whole: boolean;
}

export function readHead(
  text: string,
  at: number,
): { start: string; fields: Record<string, string>; end: number } | null {
  const stop = text.indexOf('\r\n\r\n', at);
  if (stop < 0) return null;
  const [start = '', ...lines] = text.slice(at, stop).split('\r\n');
  const fields: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    fields[name] = name in fields ? `${fields[name]}, ${value}` : value;
  }
  return { start, fields, end: stop + 4 };
}

/** The message at `at`; null while its head is not whole. `bodiless`: the answer to HEAD and the like. */
export function readMessage(text: string, at: number, bodiless: boolean, toEnd: boolean): Message | null {
  const head = readHead(text, at);
  if (head === null) return null;
  const { start, fields } = head;
  if (bodiless) return { start, fields, body: '', end: head.end, whole: true };
  if (fields['transfer-encoding'] !== undefined) return { start, fields, ...readChunks(text, head.end) };
  const length = fields['content-length'];
  if (length === undefined) {
    if (!toEnd) return { start, fields, body: '', end: head.end, whole: true };
    return { start, fields, body: text.slice(head.end), end: text.length, whole: true };
  }
  const end = head.end + Number(length);
  return { start, fields, body: text.slice(head.end, end), end: Math.min(end, text.length), whole: end <= text.length };
}

function readChunks(text: string, from: number): { body: string; end: number; whole: boolean } {
  let body = '';
  let at = from;
  for (;;) {
    const line = text.indexOf('\r\n', at);
    const size = line < 0 ? Number.NaN : Number.parseInt(text.slice(at, line), 16);
    if (Number.isNaN(size)) return { body, end: text.length, whole: false };
    if (size === 0) {
      const end = text.startsWith('\r\n', line + 2) ? line + 4 : text.indexOf('\r\n\r\n', line) + 4;
      return { body, end: end === 3 ? text.length : end, whole: end !== 3 };
    }
    body += text.slice(line + 2, line + 2 + size);
    at = line + 2 + size + 2;
    if (at > text.length) return { body, end: text.length, whole: false };
  }
}

/** How far an origin has read: whole requests so far, and whether a further head has come. */
export class RequestReader {
  #at = 0;
  #head = false;

  /** `text` is all that came; answers what is new since the last call. */
  read(text: string): { heads: number; requests: number } {
    let heads = 0;
    let requests = 0;
    for (;;) {
      const message = readMessage(text, this.#at, false, false);
      if (message === null) return { heads, requests };
      if (!this.#head) heads++;
      this.#head = true;
      if (!message.whole) return { heads, requests };
      requests++;
      this.#at = message.end;
      this.#head = false;
    }
  }
}
