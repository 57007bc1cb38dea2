/** A response head as a proxy reads it, RFC 9112 section 4. */
import { Fields, type Refused, readFields, refuse } from './fields.ts';
import { codeAt, VALUE } from './grammar.ts';
import { type HeadLimits, readVersion } from './request.ts';

/** 103 (RFC 8297): the last interim status that is registered. */
const LAST_INTERIM = 103;

export class ResponseHead extends Fields {
  status = 0;
  minor = 1;
  /** Reason phrase as sent. */
  reason_phrase = '';

  get persistent(): boolean {
    return !this.close && (this.minor === 1 || this.keepAlive);
  }
}

/** How a response's body ends: RFC 9112 section 6.3. */
export type Framing = 'none' | 'length' | 'chunked' | 'close';

export function parseResponseHead(text: string, end: number, limits: HeadLimits): ResponseHead | Refused {
  const head = new ResponseHead();
  const version = readVersion(text, 0);
  if (typeof version !== 'number') return version;
  head.minor = version;
  const d1 = codeAt(text, 9) - 48;
  const d2 = codeAt(text, 10) - 48;
  const d3 = codeAt(text, 11) - 48;
  if (codeAt(text, 8) !== 32 || !(d1 >= 1 && d1 <= 9) || !(d2 >= 0 && d2 <= 9) || !(d3 >= 0 && d3 <= 9)) {
    return refuse('not a status line');
  }
  head.status = d1 * 100 + d2 * 10 + d3;
  let at = 12;
  // The space before an empty reason phrase is often left out; nothing depends on it.
  if (codeAt(text, at) === 32) at++;
  else if (codeAt(text, at) !== 13) return refuse('not a status line');
  const from = at;
  while (VALUE[codeAt(text, at)] === 1) at++;
  if (codeAt(text, at) !== 13 || codeAt(text, at + 1) !== 10) return refuse('the status line does not end with CRLF');
  head.reason_phrase = text.slice(from, at);
  const wrong = readFields(head, text, at + 2, end - 2, false);
  if (wrong) return wrong;
  if (head.count > limits.fields) return refuse(`more than ${limits.fields} header fields`, 'headers_too_large');
  if (head.minor === 0 && head.chunked) return refuse('Transfer-Encoding in an HTTP/1.0 message');
  // RFC 9112 section 6.3 ends every 1xx with its head; parsers that do not know the status read the body all the same.
  if (head.status < 200 && head.status > LAST_INTERIM && (head.chunked || head.contentLength > 0)) {
    return refuse(`a body with the status ${head.status}`);
  }
  return head;
}

export function responseFraming(head: ResponseHead, method: string): Framing {
  if (method === 'HEAD' || head.status === 204 || head.status === 304 || head.status < 200) return 'none';
  if (head.chunked) return 'chunked';
  if (head.contentLength >= 0) return head.contentLength === 0 ? 'none' : 'length';
  return 'close';
}
