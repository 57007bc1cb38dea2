/** What our parsers make of a message, put together as the gateway does. */
import { ChunkedScanner } from '@arcus/protocol/http1/chunked.ts';
import { isRefused, parseRequestHead } from '@arcus/protocol/http1/request.ts';
import { parseResponseHead, responseFraming } from '@arcus/protocol/http1/response.ts';
import { parseAuthority } from '@arcus/protocol/http1/target.ts';

export interface OurReading {
  /** Index behind the last byte of the message; -1 when it ends with the connection. */
  end: number;
  body: Buffer;
  method: string;
}

const limits = { line: 8192, fields: 128 };

/** Null when it is refused, or not whole. */
export function readByUs(kind: 'request' | 'response', bytes: Buffer, requestMethod = 'GET'): OurReading | null {
  const text = bytes.toString('latin1');
  const found = text.indexOf('\r\n\r\n');
  if (found < 0) return null;
  const from = found + 4;
  let chunked: boolean;
  let length: number;
  let method = requestMethod;
  if (kind === 'request') {
    const head = parseRequestHead(text, from, limits);
    if (isRefused(head)) return null;
    method = head.method;
    const tunnel = method === 'CONNECT';
    if (isRefused(parseAuthority(head.authority, tunnel ? 0 : 80))) return null;
    if (head.hasHost && head.host !== '' && isRefused(parseAuthority(head.host, 80))) return null;
    if (tunnel && head.hasBody) return null;
    chunked = head.chunked;
    length = Math.max(0, head.contentLength);
  } else {
    const head = parseResponseHead(text, from, limits);
    if (isRefused(head) || head.status === 101) return null;
    const framing = responseFraming(head, requestMethod);
    if (framing === 'close') return { end: -1, body: bytes.subarray(from), method };
    chunked = framing === 'chunked';
    length = framing === 'length' ? head.contentLength : 0;
  }
  if (!chunked) {
    const end = from + length;
    return end > bytes.length ? null : { end, body: bytes.subarray(from, end), method };
  }
  const parts: Buffer[] = [];
  const scanner = new ChunkedScanner();
  const end = scanner.scan(bytes, from, (a, b) => parts.push(bytes.subarray(a, b)));
  return scanner.done ? { end, body: Buffer.concat(parts), method } : null;
}
