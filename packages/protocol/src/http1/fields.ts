/**
 * The field section of a message head: checked character by character, read once. Framing is refused, never
 * repaired: whoever is behind or before us must not see another message than we do.
 */
import { every, TOKEN, VALUE } from './grammar.ts';

/** Why a head is refused. `code` fits the gateway's error table. */
export interface Refused {
  readonly code:
    | 'bad_request'
    | 'uri_too_long'
    | 'headers_too_large'
    | 'not_implemented'
    | 'version_not_supported'
    | 'not_a_proxy_request';
  readonly reason: string;
}

export const refuse = (reason: string, code: Refused['code'] = 'bad_request'): Refused => ({ code, reason });

/** What a proxy must know of a field section; all else is in `kept`, byte for byte and in order. */
export class Fields {
  /** Value of the one Host field, '' when there is none. */
  host = '';
  hasHost = false;
  /** -1 when there is no Content-Length. */
  contentLength = -1;
  chunked = false;
  /** `Connection: close` / `keep-alive`. */
  close = false;
  keepAlive = false;
  /** Value of Upgrade when `Connection` names it too, else ''. */
  upgrade = '';
  expect = '';
  via = '';
  /** -1 when there is none. */
  maxForwards = -1;
  proxyAuthorization = '';
  hasDate = false;
  forwardedFor = '';
  forwarded = '';
  /** How many field lines there were. */
  count = 0;
  /**
   * The lines that go on to the next hop, each with its CRLF: all but hop-by-hop ones, those that `Connection`
   * names, Host, Content-Length and Transfer-Encoding (the caller writes these anew), X-Forwarded-For, Forwarded
   * and X-Tenant-ID.
   */
  kept = '';
}

const MAX_DIGITS = 15;

/** Fields that a message cannot do without: `Connection` naming one of them is an attack, not a wish. */
const END_TO_END = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'content-type',
  'authorization',
  'cookie',
  'set-cookie',
]);

/**
 * Reads `text` from `from` (first byte after the start line) up to `to` (the CRLF of the empty line that ends the
 * head). Answers what is wrong, or null.
 */
export function readFields(out: Fields, text: string, from: number, to: number, request: boolean): Refused | null {
  let kept = '';
  let run = from;
  let connection = '';
  let upgrade = '';
  let transferEncoding = false;
  let at = from;
  while (at < to) {
    // The name, up to the colon: no space before it, no obs-fold (a line that starts with a space).
    let colon = at;
    while (TOKEN[text.charCodeAt(colon)] === 1) colon++;
    if (text.charCodeAt(colon) !== 58 || colon === at) return badName(text, at, colon);
    // The value, up to CRLF; a bare CR or LF, NUL or another control character ends the scan.
    let end = colon + 1;
    while (VALUE[text.charCodeAt(end)] === 1) end++;
    if (text.charCodeAt(end) !== 13 || text.charCodeAt(end + 1) !== 10) return badValue(text, end);
    const next = end + 2;
    out.count++;
    if (isSpecial(colon - at, text.charCodeAt(at) | 0x20)) {
      const name = text.slice(at, colon).toLowerCase();
      let keep = false;
      switch (name) {
        case 'host':
          if (request) {
            if (out.hasHost) return refuse('more than one Host field');
            out.hasHost = true;
            out.host = trim(text, colon + 1, end);
          } else keep = true;
          break;
        case 'date':
          out.hasDate = true;
          keep = true;
          break;
        case 'content-length': {
          const value = trim(text, colon + 1, end);
          if (out.contentLength !== -1) return refuse('more than one Content-Length field');
          // Padded with zeros it is octal to some.
          if (!/^(?:0|[1-9][0-9]*)$/.test(value)) return refuse('Content-Length is not a number');
          if (value.length > MAX_DIGITS) return refuse('Content-Length is too large');
          out.contentLength = Number(value);
          break;
        }
        case 'transfer-encoding': {
          const value = trim(text, colon + 1, end).toLowerCase();
          if (transferEncoding) return refuse('more than one Transfer-Encoding field');
          transferEncoding = true;
          if (value !== 'chunked') {
            const known = /^(gzip|x-gzip|deflate|compress|x-compress)[ \t]*,[ \t]*chunked$/.test(value);
            return refuse(`Transfer-Encoding other than "chunked"`, known ? 'not_implemented' : 'bad_request');
          }
          out.chunked = true;
          break;
        }
        case 'connection':
        case 'proxy-connection':
          connection += `${connection && ','}${trim(text, colon + 1, end).toLowerCase()}`;
          break;
        case 'keep-alive':
        case 'te':
        case 'proxy-authenticate':
        case 'proxy-authentication-info':
        case 'x-tenant-id':
          break;
        case 'upgrade':
          upgrade += `${upgrade && ', '}${trim(text, colon + 1, end)}`;
          break;
        case 'expect':
          out.expect += `${out.expect && ', '}${trim(text, colon + 1, end)}`;
          keep = true;
          break;
        case 'via':
          out.via += `${out.via && ', '}${trim(text, colon + 1, end)}`;
          keep = true;
          break;
        case 'max-forwards': {
          const value = trim(text, colon + 1, end);
          if (!/^[0-9]{1,9}$/.test(value) || out.maxForwards !== -1) return refuse('Max-Forwards is not one number');
          out.maxForwards = Number(value);
          break;
        }
        case 'proxy-authorization':
          if (out.proxyAuthorization) return refuse('more than one Proxy-Authorization field');
          out.proxyAuthorization = trim(text, colon + 1, end);
          break;
        case 'x-forwarded-for':
          out.forwardedFor += `${out.forwardedFor && ', '}${trim(text, colon + 1, end)}`;
          break;
        case 'forwarded':
          out.forwarded += `${out.forwarded && ', '}${trim(text, colon + 1, end)}`;
          break;
        default:
          keep = true;
      }
      if (!keep) {
        if (run !== at) kept += text.slice(run, at);
        run = next;
      }
    }
    at = next;
  }
  if (at !== to) return refuse('the head does not end with an empty line');
  if (run !== to) kept += text.slice(run, to);
  if (out.chunked && out.contentLength !== -1) return refuse('Content-Length together with Transfer-Encoding');
  out.kept = kept;
  if (connection !== '') return readConnection(out, connection, upgrade);
  return null;
}

/** Could a name of this length and first letter be one that matters? Spares most fields the slice and the look-up. */
function isSpecial(length: number, first: number): boolean {
  switch (length) {
    case 2:
      return first === 116; // te
    case 3:
      return first === 118; // via
    case 4:
      return first === 104 || first === 100; // host, date
    case 6:
      return first === 101; // expect
    case 7:
      return first === 117; // upgrade
    case 9:
      return first === 102; // forwarded
    case 10:
      return first === 99 || first === 107; // connection, keep-alive
    case 11:
      return first === 120; // x-tenant-id
    case 12:
      return first === 109; // max-forwards
    case 14:
      return first === 99; // content-length
    case 15:
      return first === 120; // x-forwarded-for
    case 16:
    case 18:
    case 19:
    case 25:
      return first === 112; // proxy-…
    case 17:
      return first === 116; // transfer-encoding
    default:
      return false;
  }
}

/** RFC 9110 section 7.6.1: options are for this hop, and fields they name go no further. */
function readConnection(out: Fields, connection: string, upgrade: string): Refused | null {
  if (connection === 'keep-alive') {
    out.keepAlive = true;
    return null;
  }
  if (connection === 'close') {
    out.close = true;
    return null;
  }
  let named: Set<string> | null = null;
  for (const part of connection.split(',')) {
    const option = trim(part, 0, part.length);
    if (option === '') continue;
    if (!every(TOKEN, option, 0, option.length)) return refuse('Connection is not a list of tokens');
    if (option === 'close') out.close = true;
    else if (option === 'keep-alive') out.keepAlive = true;
    else if (option === 'upgrade') out.upgrade = upgrade;
    else if (END_TO_END.has(option)) return refuse(`Connection names ${option}`);
    else {
      named ??= new Set();
      named.add(option);
    }
  }
  if (named) {
    let kept = '';
    for (let at = 0; at < out.kept.length; ) {
      const next = out.kept.indexOf('\r\n', at) + 2;
      const name = out.kept.slice(at, out.kept.indexOf(':', at)).toLowerCase();
      if (!named.has(name)) kept += out.kept.slice(at, next);
      else if (name === 'via') out.via = '';
      else if (name === 'expect') out.expect = '';
      else if (name === 'date') out.hasDate = false;
      at = next;
    }
    out.kept = kept;
    // What is written anew further on, and would come back.
    if (named.has('max-forwards')) out.maxForwards = -1;
    if (named.has('x-forwarded-for')) out.forwardedFor = '';
    if (named.has('forwarded')) out.forwarded = '';
  }
  return null;
}

/** The value without the optional white space around it (SP and HTAB only: RFC 9110 section 5.6.3). */
function trim(text: string, from: number, to: number): string {
  let a = from;
  let b = to;
  while (a < b && isSpace(text.charCodeAt(a))) a++;
  while (b > a && isSpace(text.charCodeAt(b - 1))) b--;
  return text.slice(a, b);
}

const isSpace = (c: number) => c === 32 || c === 9;

function badName(text: string, at: number, stop: number): Refused {
  const c = text.charCodeAt(stop);
  if (stop === at && isSpace(c)) return refuse('a folded header line');
  if (stop === at && c === 58) return refuse('an empty field name');
  if (isSpace(c)) return refuse('white space in or after a field name');
  if (c === 13 || c === 10) return refuse('a header line without a colon');
  return refuse('a character that is not allowed in a field name');
}

function badValue(text: string, stop: number): Refused {
  const c = text.charCodeAt(stop);
  if (c === 10) return refuse('a bare line feed');
  if (c === 13) return refuse('a bare carriage return');
  if (c === 0) return refuse('a NUL byte');
  return refuse('a control character in a field value');
}
