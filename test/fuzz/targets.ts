/** What is fuzzed, and what must hold of each input beside not crashing. */
import { ChunkedScanner } from '@arcus/protocol/http1/chunked.ts';
import { isRefused, parseRequestHead } from '@arcus/protocol/http1/request.ts';
import { parseResponseHead, responseFraming } from '@arcus/protocol/http1/response.ts';
import { parseAuthority } from '@arcus/protocol/http1/target.ts';
import type { Random } from './mutate.ts';

export interface Target {
  readonly name: string;
  /** Throws when something that must hold does not. True when the input was accepted. */
  run(bytes: Buffer, random: Random): boolean;
}

const limits = { line: 8192, fields: 128 };

function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

/** What goes on must be lines `name: value` and nothing else, whatever came in. */
function checkKept(kept: string, length: number | null): void {
  must(kept === '' || kept.endsWith('\r\n'), 'what is kept does not end with a line end');
  must(!/[\0\x0b\x0c\x7f]|(?<!\r)\n|\r(?!\n)/.test(kept), 'what is kept has a control character');
  must(!/(?:^|\n)[^!#-'*+\-.0-9A-Z^-z|~]/.test(kept), 'what is kept has a line that begins with no name');
  must(
    !/(?:^|\n)(?:transfer-encoding|connection|proxy-authorization|keep-alive|te) *:/i.test(kept),
    'what is kept has a field that must not go on',
  );
  // An answer's one length goes on as it is, if it has one; a request's is written anew.
  const lengths = [...kept.matchAll(/(?:^|\n)content-length *:[ \t]*([^\r]*?)[ \t]*\r/gi)].map((m) => Number(m[1]));
  const expected = length === null || length < 0 ? [] : [length];
  must(String(lengths) === String(expected), 'what is kept has another length than the message');
}

const requestHead: Target = {
  name: 'request head',
  run(bytes) {
    const text = bytes.toString('latin1');
    const found = text.indexOf('\r\n\r\n');
    if (found < 0) return false;
    const head = parseRequestHead(text, found + 4, limits);
    if (isRefused(head)) {
      must(head.reason !== '', 'a refusal without a reason');
      return false;
    }
    checkKept(head.kept, null);
    must(!/[\0- #\x7f-\xff]/.test(head.target), 'a target with bytes that it must not have');
    must(!(head.chunked && head.contentLength >= 0), 'two framings');
    must(Number.isSafeInteger(head.contentLength) && head.contentLength >= -1, 'a length that is none');
    const authority = parseAuthority(head.authority, head.method === 'CONNECT' ? 0 : 80);
    if (isRefused(authority)) return false;
    must(/^[a-z0-9._-]+$|^[0-9a-f:.]+$/.test(authority.host), 'a host with bytes that it must not have');
    must(authority.port >= 1 && authority.port <= 65_535, 'a port that is none');
    const again = parseAuthority(authority.text, head.method === 'CONNECT' ? 0 : 80);
    must(!isRefused(again) && again.text === authority.text, 'a host that is not the same when it is read again');
    return true;
  },
};

const responseHead: Target = {
  name: 'response head',
  run(bytes) {
    const text = bytes.toString('latin1');
    const found = text.indexOf('\r\n\r\n');
    if (found < 0) return false;
    const head = parseResponseHead(text, found + 4, limits);
    if (isRefused(head)) return false;
    checkKept(head.kept, head.contentLength);
    must(head.status >= 100 && head.status <= 999, 'a status that is none');
    must(!/[\r\n\0]/.test(head.reason_phrase), 'a reason with a line end');
    must(!(head.chunked && head.contentLength >= 0), 'two framings');
    const framing = responseFraming(head, 'GET');
    must(framing !== 'length' || head.contentLength > 0, 'a length that is none');
    return true;
  },
};

const chunkedBody: Target = {
  name: 'chunked body',
  run(bytes, random) {
    const whole = new ChunkedScanner();
    const end = whole.scan(bytes, 0);
    must(end === -1 ? whole.fault !== '' : end <= bytes.length, 'an end behind the input');
    // Cut anywhere it must say the same.
    const cut = random.below(bytes.length + 1);
    const parts = new ChunkedScanner();
    let at = parts.scan(bytes.subarray(0, cut), 0);
    if (at >= 0 && !parts.done) {
      const rest = parts.scan(bytes.subarray(cut), 0);
      at = rest < 0 ? -1 : cut + rest;
    }
    must(at === end && parts.done === whole.done && parts.fault === whole.fault, `another result when cut at ${cut}`);
    if (end >= 0) must(parts.content === whole.content, 'another amount of content when cut');
    return whole.done;
  },
};

export const targets: readonly Target[] = [requestHead, responseHead, chunkedBody];
