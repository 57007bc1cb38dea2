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
    const field = fieldOf(text, at, colon - at);
    if (field !== F.other) {
      let keep = false;
      switch (field) {
        case F.host:
          if (request) {
            if (out.hasHost) return refuse('more than one Host field');
            out.hasHost = true;
            out.host = trim(text, colon + 1, end);
          } else keep = true;
          break;
        case F.date:
          out.hasDate = true;
          keep = true;
          break;
        case F.contentLength: {
          if (out.contentLength !== -1) return refuse('more than one Content-Length field');
          const length = readLength(text, colon + 1, end);
          if (typeof length !== 'number') return length;
          out.contentLength = length;
          break;
        }
        case F.transferEncoding: {
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
        case F.connection:
          // Nearly always just this, with one space before it: no string is made of it.
          if (end - colon === 12 && same(text, colon + 2, 'keep-alive')) out.keepAlive = true;
          else connection += `${connection && ','}${trim(text, colon + 1, end).toLowerCase()}`;
          break;
        case F.hopByHop:
          break;
        case F.upgrade:
          upgrade += `${upgrade && ', '}${trim(text, colon + 1, end)}`;
          break;
        case F.expect:
          out.expect += `${out.expect && ', '}${trim(text, colon + 1, end)}`;
          keep = true;
          break;
        case F.via:
          out.via += `${out.via && ', '}${trim(text, colon + 1, end)}`;
          keep = true;
          break;
        case F.maxForwards: {
          const value = trim(text, colon + 1, end);
          if (!/^[0-9]{1,9}$/.test(value) || out.maxForwards !== -1) return refuse('Max-Forwards is not one number');
          out.maxForwards = Number(value);
          break;
        }
        case F.proxyAuthorization:
          if (out.proxyAuthorization) return refuse('more than one Proxy-Authorization field');
          out.proxyAuthorization = trim(text, colon + 1, end);
          break;
        case F.forwardedFor:
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

/** What a field means to a proxy. */
const F = {
  other: 0,
  host: 1,
  date: 2,
  contentLength: 3,
  transferEncoding: 4,
  connection: 5,
  hopByHop: 6,
  upgrade: 7,
  expect: 8,
  via: 9,
  maxForwards: 10,
  proxyAuthorization: 11,
  forwardedFor: 12,
  forwarded: 13,
} as const;

/** By length first: most fields are told apart without a look at their letters, and none becomes a string. */
const byLength: (readonly (readonly [string, number])[])[] = [];
for (const [name, field] of [
  ['host', F.host],
  ['date', F.date],
  ['content-length', F.contentLength],
  ['transfer-encoding', F.transferEncoding],
  ['connection', F.connection],
  ['proxy-connection', F.connection],
  ['keep-alive', F.hopByHop],
  ['te', F.hopByHop],
  ['proxy-authenticate', F.hopByHop],
  ['proxy-authentication-info', F.hopByHop],
  ['x-tenant-id', F.hopByHop],
  ['upgrade', F.upgrade],
  ['expect', F.expect],
  ['via', F.via],
  ['max-forwards', F.maxForwards],
  ['proxy-authorization', F.proxyAuthorization],
  ['x-forwarded-for', F.forwardedFor],
  ['forwarded', F.forwarded],
] as const) {
  byLength[name.length] = [...(byLength[name.length] ?? []), [name, field]];
}
for (let length = 0; length < byLength.length; length++) byLength[length] ??= [];

function fieldOf(text: string, at: number, length: number): number {
  if (length >= byLength.length) return F.other;
  const names = byLength[length]!;
  for (let i = 0; i < names.length; i++) if (same(text, at, names[i]![0])) return names[i]![1];
  return F.other;
}

/** Does `name` (lower case letters and "-") stand at `at`, in any case? */
function same(text: string, at: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) if ((text.charCodeAt(at + i) | 0x20) !== name.charCodeAt(i)) return false;
  return true;
}

/** Digits alone: no sign, no list, and no zero in front, which is octal to some. */
function readLength(text: string, from: number, to: number): number | Refused {
  let a = from;
  let b = to;
  while (a < b && isSpace(text.charCodeAt(a))) a++;
  while (b > a && isSpace(text.charCodeAt(b - 1))) b--;
  if (a === b) return refuse('Content-Length is not a number');
  let length = 0;
  for (let i = a; i < b; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (!(digit >= 0 && digit <= 9)) return refuse('Content-Length is not a number');
    length = length * 10 + digit;
  }
  if (b - a > 1 && text.charCodeAt(a) === 48) return refuse('Content-Length is not a number');
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
