/** A request head as a proxy reads it, RFC 9112 section 3. */
import { Fields, Refused, readFields, refuse } from './fields.ts';
import { codeAt, every, TARGET, TOKEN } from './grammar.ts';

export class RequestHead extends Fields {
  method = '';
  /** The request-target as it was sent. */
  target = '';
  /** Minor version: 0 or 1. */
  minor = 1;
  /** For absolute-form: `host[:port]` as sent; for CONNECT the whole target; '' otherwise. */
  authority = '';
  /** For absolute-form: path and query as sent, "/" (or "*" for OPTIONS) when empty; else ''. */
  path = '';
  /** The field section as it was received, with the empty line behind it. */
  fields = '';

  /** True when bytes of a body follow the head. */
  get hasBody(): boolean {
    return this.chunked || this.contentLength > 0;
  }

  /** Does the client want the connection kept after the answer? RFC 9112 section 9.3. */
  get persistent(): boolean {
    return !this.close && (this.minor === 1 || this.keepAlive);
  }
}

/** The same limits hold for all shapes; the defaults are the server kind's. */
export interface HeadLimits {
  /** Bytes of the start line, without CRLF. */
  line: number;
  /** Field lines. */
  fields: number;
}

/** A head that was read before, to the same limits. */
export interface KnownHead {
  /** All of it. */
  readonly text: string;
  readonly head: RequestHead;
}

/**
 * Reads a whole head, latin1, from its first byte to `end` (index just behind the empty line).
 * Answers the head, or why it is refused. `known`: what it has in common with this one is not read again.
 */
export function parseRequestHead(
  text: string,
  end: number,
  limits: HeadLimits,
  known: KnownHead | null = null,
): RequestHead | Refused {
  const head = new RequestHead();
  let at = 0;
  while (TOKEN[codeAt(text, at)] === 1) at++;
  if (at === 0 || codeAt(text, at) !== 32) return refuse('the request line does not start with a method and one space');
  head.method = text.slice(0, at);
  const from = at + 1;
  let to = from;
  while (TARGET[codeAt(text, to)] === 1) to++;
  if (to === from || codeAt(text, to) !== 32) {
    return refuse(codeAt(text, to) === 35 ? 'a fragment in the request target' : 'the request target is not valid');
  }
  // The version takes nine more.
  if (to + 9 > limits.line) return refuse(`the request line is longer than ${limits.line} bytes`, 'uri_too_long');
  head.target = text.slice(from, to);
  const version = readVersion(text, to + 1);
  if (typeof version !== 'number') return version;
  if (codeAt(text, to + 9) !== 13 || codeAt(text, to + 10) !== 10)
    return refuse('the request line does not end with CRLF');
  head.minor = version;
  const fields = text.slice(to + 11, end);
  if (
    known !== null &&
    fields === known.head.fields &&
    version === known.head.minor &&
    head.method === known.head.method
  ) {
    head.takeFields(known.head);
    head.fields = known.head.fields;
    return readTarget(head);
  }
  const counted = head.method === 'TRACE' || head.method === 'OPTIONS';
  const wrong = readFields(head, text, to + 11, end - 2, true, counted);
  if (wrong) return wrong;
  head.fields = fields;
  if (head.count > limits.fields) return refuse(`more than ${limits.fields} header fields`, 'headers_too_large');
  if (head.minor === 1 && !head.hasHost) return refuse('no Host field');
  if (head.minor === 0) {
    if (head.chunked) return refuse('Transfer-Encoding in an HTTP/1.0 message');
    // RFC 9110 section 7.8: an HTTP/1.0 client cannot ask for another protocol.
    head.upgrade = '';
  }
  return readTarget(head);
}

function readTarget(head: RequestHead): RequestHead | Refused {
  const target = head.target;
  if (head.method === 'CONNECT') {
    head.authority = target;
    return head;
  }
  if (codeAt(target, 0) === 47 || target === '*') {
    return refuse('the request target is not an absolute URL', 'not_a_proxy_request');
  }
  if (target.startsWith('http://')) return readAbsolute(head, 7);
  const colon = target.indexOf('://');
  if (colon < 1 || !/^[a-zA-Z][a-zA-Z0-9+.-]*$/.test(target.slice(0, colon))) {
    // "urn:a:b" has another scheme; "host:80" is authority-form; "http:/host" is broken.
    const other = /^[a-zA-Z][a-zA-Z0-9+.-]*:(?![0-9]*$)/.test(target) && !/^http:/i.test(target);
    return refuse('the request target is not an absolute URL', other ? 'not_implemented' : 'bad_request');
  }
  if (target.slice(0, colon).toLowerCase() !== 'http') {
    return refuse('only http URLs can be forwarded; use CONNECT for others', 'not_implemented');
  }
  return readAbsolute(head, colon + 3);
}

/** `start`: where the authority begins, behind the scheme. */
function readAbsolute(head: RequestHead, start: number): RequestHead {
  const target = head.target;
  let end = start;
  for (; end < target.length; end++) {
    const c = codeAt(target, end);
    if (c === 47 || c === 63) break;
  }
  head.authority = target.slice(start, end);
  if (end === target.length) head.path = head.method === 'OPTIONS' ? '*' : '/';
  else head.path = codeAt(target, end) === 63 ? `/${target.slice(end)}` : target.slice(end);
  return head;
}

/** `HTTP/1.x` at `at`: the minor version, or why not. */
export function readVersion(text: string, at: number): 0 | 1 | Refused {
  const version = text.slice(at, at + 8);
  if (version === 'HTTP/1.1') return 1;
  if (version === 'HTTP/1.0') return 0;
  if (/^HTTP\/[0-9]\.[0-9]$/.test(version)) return refuse(`${version} is not spoken here`, 'version_not_supported');
  return refuse('not an HTTP version');
}

/** True for a parse result that is a refusal. */
export const isRefused = <T extends object>(value: T | Refused): value is Refused => value instanceof Refused;

export const isMethod = (text: string): boolean => text.length > 0 && every(TOKEN, text, 0, text.length);
