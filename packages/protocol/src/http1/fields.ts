/**
 * The field section of a message head: checked character by character, read once. Framing is refused, never
 * repaired: whoever is behind or before us must not see another message than we do.
 */
import { codeAt, every, TOKEN, VALUE } from './grammar.ts';

/** Why a head is refused. `code` fits the gateway's error table. */
export class Refused {
  readonly code:
    | 'bad_request'
    | 'uri_too_long'
    | 'headers_too_large'
    | 'not_implemented'
    | 'version_not_supported'
    | 'not_a_proxy_request';
  readonly reason: string;

  constructor(reason: string, code: Refused['code']) {
    this.reason = reason;
    this.code = code;
  }
}

export const refuse = (reason: string, code: Refused['code'] = 'bad_request'): Refused => new Refused(reason, code);

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
  /** Seconds for which the sender keeps an idle connection open (`Keep-Alive: timeout=`), -1 when it does not say. */
  keepAliveTimeout = -1;
  /** Value of Upgrade when `Connection` names it too, else ''. */
  upgrade = '';
  /** What `Connection` names beside options that are known, lower case; null when there is nothing. */
  named: ReadonlySet<string> | null = null;
  expect = '';
  via = '';
  /** Of a TRACE or OPTIONS request only: for others it says nothing, and is kept as it is. -1 when there is none. */
  maxForwards = -1;
  proxyAuthorization = '';
  /**
   * Authorization of a request or WWW-Authenticate of an answer says NTLM or Negotiate: such a login holds for the
   * connection, not for one message (RFC 4559 section 6).
   */
  boundLogin = false;
  hasDate = false;
  forwardedFor = '';
  forwarded = '';
  /** How many field lines there were. */
  count = 0;
  /**
   * The lines that go on to the next hop, each with its CRLF: all but hop-by-hop ones, those that `Connection`
   * names, Host and Transfer-Encoding and in requests Content-Length (the caller writes these anew), X-Forwarded-For,
   * Forwarded and X-Tenant-ID.
   */
  kept = '';

  /** All that `other` says; nothing of it is ever changed. */
  takeFields(other: Fields): void {
    this.host = other.host;
    this.hasHost = other.hasHost;
    this.contentLength = other.contentLength;
    this.chunked = other.chunked;
    this.close = other.close;
    this.keepAlive = other.keepAlive;
    this.keepAliveTimeout = other.keepAliveTimeout;
    this.upgrade = other.upgrade;
    this.named = other.named;
    this.expect = other.expect;
    this.via = other.via;
    this.maxForwards = other.maxForwards;
    this.proxyAuthorization = other.proxyAuthorization;
    this.boundLogin = other.boundLogin;
    this.hasDate = other.hasDate;
    this.forwardedFor = other.forwardedFor;
    this.forwarded = other.forwarded;
    this.count = other.count;
    this.kept = other.kept;
  }
}

const MAX_DIGITS = 15;

/** What a field means to a proxy. Constants of their own: the hot loop reads no object. */
const OTHER = 0;
const HOST = 1;
const DATE = 2;
const CONTENT_LENGTH = 3;
const TRANSFER_ENCODING = 4;
const CONNECTION = 5;
const HOP_BY_HOP = 6;
const UPGRADE = 7;
const EXPECT = 8;
const VIA = 9;
const MAX_FORWARDS = 10;
const PROXY_AUTHORIZATION = 11;
const FORWARDED_FOR = 12;
const FORWARDED = 13;
const AUTHORIZATION = 14;
const WWW_AUTHENTICATE = 15;
const KEEP_ALIVE = 16;

/** A scheme of a login that holds for a connection, at the start of a list or in it. */
const BOUND = /(?:^|,)[ \t]*(?:ntlm|negotiate)(?:[ \t,]|$)/i;

/** RFC 2068 section 19.7.1, as servers send it today: a list with the seconds in it. */
const TIMEOUT = /(?:^|[ \t,])timeout=(\d{1,6})(?![^ \t,])/i;

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
 * head). `counted`: Max-Forwards is for each hop to read (RFC 9110 section 7.6.2). Answers what is wrong, or null.
 */
export function readFields(
  out: Fields,
  text: string,
  from: number,
  to: number,
  request: boolean,
  counted = false,
): Refused | null {
  let kept = '';
  let run = from;
  let connection = '';
  let upgrade = '';
  let transferEncoding = false;
  let at = from;
  while (at < to) {
    // The name, up to the colon: no space before it, no obs-fold (a line that starts with a space).
    let colon = at;
    while (TOKEN[codeAt(text, colon)] === 1) colon++;
    if (codeAt(text, colon) !== 58 || colon === at) return badName(text, at, colon);
    // The value, up to CRLF; a bare CR or LF, NUL or another control character ends the scan.
    let end = colon + 1;
    while (VALUE[codeAt(text, end)] === 1) end++;
    if (codeAt(text, end) !== 13 || codeAt(text, end + 1) !== 10) return badValue(text, end);
    const next = end + 2;
    out.count++;
    const field = fieldOf(text, at, colon - at);
    if (field !== OTHER) {
      let keep = false;
      switch (field) {
        case HOST:
          if (request) {
            if (out.hasHost) return refuse('more than one Host field');
            out.hasHost = true;
            out.host = trim(text, colon + 1, end);
          } else keep = true;
          break;
        case DATE:
          out.hasDate = true;
          keep = true;
          break;
        case CONTENT_LENGTH: {
          if (out.contentLength !== -1) return refuse('more than one Content-Length field');
          const length = readLength(text, colon + 1, end);
          if (typeof length !== 'number') return length;
          out.contentLength = length;
          keep = !request;
          break;
        }
        case TRANSFER_ENCODING: {
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
        case CONNECTION:
          // Nearly always just this, with one space before it: no string is made of it.
          if (end - colon === 12 && same(text, colon + 2, 'keep-alive')) out.keepAlive = true;
          else connection += `${connection && ','}${trim(text, colon + 1, end).toLowerCase()}`;
          break;
        case HOP_BY_HOP:
          break;
        case KEEP_ALIVE: {
          const timeout = TIMEOUT.exec(text.slice(colon + 1, end));
          if (timeout !== null) out.keepAliveTimeout = Number(timeout[1]);
          break;
        }
        case UPGRADE:
          upgrade += `${upgrade && ', '}${trim(text, colon + 1, end)}`;
          break;
        case EXPECT:
          out.expect += `${out.expect && ', '}${trim(text, colon + 1, end)}`;
          keep = true;
          break;
        case VIA:
          out.via += `${out.via && ', '}${trim(text, colon + 1, end)}`;
          keep = true;
          break;
        case MAX_FORWARDS: {
          if (!counted) {
            keep = true;
            break;
          }
          const value = trim(text, colon + 1, end);
          if (!/^[0-9]{1,9}$/.test(value) || out.maxForwards !== -1) return refuse('Max-Forwards is not one number');
          out.maxForwards = Number(value);
          break;
        }
        case PROXY_AUTHORIZATION:
          // In an answer it means nothing, and is for nobody behind us.
          if (!request) break;
          if (out.proxyAuthorization) return refuse('more than one Proxy-Authorization field');
          out.proxyAuthorization = trim(text, colon + 1, end);
          break;
        case AUTHORIZATION:
        case WWW_AUTHENTICATE:
          if (request === (field === AUTHORIZATION)) out.boundLogin ||= BOUND.test(text.slice(colon + 1, end));
          keep = true;
          break;
        case FORWARDED_FOR:
          out.forwardedFor += `${out.forwardedFor && ', '}${trim(text, colon + 1, end)}`;
          break;
        default:
          out.forwarded += `${out.forwarded && ', '}${trim(text, colon + 1, end)}`;
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

/** By length first: most fields are told apart without a look at their letters, and none becomes a string. */
const byLength: (readonly (readonly [string, number])[])[] = [];
for (const [name, field] of [
  ['host', HOST],
  ['date', DATE],
  ['content-length', CONTENT_LENGTH],
  ['transfer-encoding', TRANSFER_ENCODING],
  ['connection', CONNECTION],
  ['proxy-connection', CONNECTION],
  ['keep-alive', KEEP_ALIVE],
  ['te', HOP_BY_HOP],
  ['proxy-authenticate', HOP_BY_HOP],
  ['proxy-authentication-info', HOP_BY_HOP],
  ['x-tenant-id', HOP_BY_HOP],
  ['upgrade', UPGRADE],
  ['expect', EXPECT],
  ['via', VIA],
  ['max-forwards', MAX_FORWARDS],
  ['proxy-authorization', PROXY_AUTHORIZATION],
  ['x-forwarded-for', FORWARDED_FOR],
  ['forwarded', FORWARDED],
  ['authorization', AUTHORIZATION],
  ['www-authenticate', WWW_AUTHENTICATE],
] as const) {
  byLength[name.length] = [...(byLength[name.length] ?? []), [name, field]];
}
for (let length = 0; length < byLength.length; length++) byLength[length] ??= [];

function fieldOf(text: string, at: number, length: number): number {
  if (length >= byLength.length) return OTHER;
  const names = byLength[length]!;
  for (let i = 0; i < names.length; i++) if (same(text, at, names[i]![0])) return names[i]![1];
  return OTHER;
}

/** Does `name` (lower case letters and "-") stand at `at`, in any case? */
function same(text: string, at: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) if ((codeAt(text, at + i) | 0x20) !== codeAt(name, i)) return false;
  return true;
}

/** Digits alone: no sign, no list, and no zero in front, which is octal to some. */
function readLength(text: string, from: number, to: number): number | Refused {
  let a = from;
  let b = to;
  while (a < b && isSpace(codeAt(text, a))) a++;
  while (b > a && isSpace(codeAt(text, b - 1))) b--;
  if (a === b) return refuse('Content-Length is not a number');
  let length = 0;
  for (let i = a; i < b; i++) {
    const digit = codeAt(text, i) - 48;
    if (!(digit >= 0 && digit <= 9)) return refuse('Content-Length is not a number');
    length = length * 10 + digit;
  }
  if (b - a > 1 && codeAt(text, a) === 48) return refuse('Content-Length is not a number');
  if (b - a > MAX_DIGITS) return refuse('Content-Length is too large');
  return length;
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
    out.named = named;
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
  while (a < b && isSpace(codeAt(text, a))) a++;
  while (b > a && isSpace(codeAt(text, b - 1))) b--;
  return text.slice(a, b);
}

const isSpace = (c: number) => c === 32 || c === 9;

function badName(text: string, at: number, stop: number): Refused {
  const c = codeAt(text, stop);
  if (stop === at && isSpace(c)) return refuse('a folded header line');
  if (stop === at && c === 58) return refuse('an empty field name');
  if (isSpace(c)) return refuse('white space in or after a field name');
  if (c === 13 || c === 10) return refuse('a header line without a colon');
  return refuse('a character that is not allowed in a field name');
}

function badValue(text: string, stop: number): Refused {
  const c = codeAt(text, stop);
  if (c === 10) return refuse('a bare line feed');
  if (c === 13) return refuse('a bare carriage return');
  if (c === 0) return refuse('a NUL byte');
  return refuse('a control character in a field value');
}
