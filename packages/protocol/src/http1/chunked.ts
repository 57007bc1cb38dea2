/**
 * Walks over a chunked body (RFC 9112 section 7.1) without changing it: checks the grammar strictly, says where it
 * ends. Works on any split of the bytes.
 */
import { HEX, TOKEN, VALUE } from './grammar.ts';

const S = {
  size: 0,
  extName: 1,
  extNameMore: 2,
  extValue: 3,
  extValueMore: 4,
  extQuoted: 5,
  extAfter: 6,
  sizeLf: 7,
  data: 8,
  dataCr: 9,
  dataLf: 10,
  trailer: 11,
  name: 12,
  value: 13,
  valueLf: 14,
  endLf: 15,
  done: 16,
} as const;

/** Bytes of the extensions of one chunk. */
const MAX_EXTENSION = 4096;
/** Bytes of all extensions of a body that are more than its content so far: signed uploads have a short one in each chunk. */
const MAX_EXTENSIONS = 16_384;
/** Bytes of all trailers of one body. */
const MAX_TRAILER = 16_384;
/** Hex digits: up to 2^52, exact in a double. */
const MAX_DIGITS = 13;
/**
 * Fields that must not come in a trailer: framing, routing, authentication (RFC 9110 section 6.5.1), and what this hop
 * takes out of heads. Bodies pass as they are, so what may not go on is refused.
 */
const FORBIDDEN = new Set([
  'content-length',
  'transfer-encoding',
  'host',
  'connection',
  'trailer',
  'te',
  'upgrade',
  'proxy-authorization',
  'proxy-authenticate',
  'proxy-connection',
  'keep-alive',
  'authorization',
  'content-encoding',
  'content-type',
  'content-range',
  'cookie',
  'set-cookie',
  'expect',
  'max-forwards',
  'proxy-authentication-info',
  'via',
  'forwarded',
  'x-forwarded-for',
  'x-tenant-id',
]);

export class ChunkedScanner {
  /** '' while all is well. */
  fault = '';
  /** True once the empty line behind the trailers was seen. */
  done = false;
  /** Bytes of content seen so far (without framing). */
  content = 0;
  #state: number = S.size;
  #size = 0;
  #digits = 0;
  #extension = 0;
  #extensions = 0;
  #trailer = 0;
  #name = '';
  readonly #named: ReadonlySet<string> | null;

  /** `named`: the fields that `Connection` of the head names, lower case. They are for this hop, also as trailers. */
  constructor(named: ReadonlySet<string> | null = null) {
    this.#named = named;
  }

  /**
   * Reads `chunk` from `at`; answers the index behind the last byte that belongs to the body (`chunk.length` unless
   * it ended), or -1 when the framing is broken: see `fault`. `onContent` gets each range of content.
   */
  scan(chunk: Uint8Array, at: number, onContent?: (from: number, to: number) => void): number {
    const end = chunk.length;
    let i = at;
    let state = this.#state;
    while (i < end) {
      if (state === S.data) {
        const take = Math.min(this.#size, end - i);
        onContent?.(i, i + take);
        this.#size -= take;
        this.content += take;
        i += take;
        if (this.#size === 0) state = S.dataCr;
        continue;
      }
      const c = chunk[i++]!;
      switch (state) {
        case S.size: {
          const digit = HEX[c]!;
          if (digit !== 255) {
            if (++this.#digits > MAX_DIGITS) return this.#broken('a chunk size that is too large');
            this.#size = this.#size * 16 + digit;
          } else if (this.#digits === 0) return this.#broken('a chunk without a size');
          else if (c === 13) state = S.sizeLf;
          else if (c === 59) state = S.extName;
          else return this.#broken('a character that is not a hex digit in a chunk size');
          break;
        }
        // Extensions: ;name[=value], tokens or a quoted string; checked, counted, passed on as they are.
        case S.extName:
        case S.extNameMore:
        case S.extValue:
        case S.extValueMore:
        case S.extQuoted:
        case S.extAfter:
          if (++this.#extension > MAX_EXTENSION || ++this.#extensions > MAX_EXTENSIONS + this.content)
            return this.#broken('chunk extensions that are too long');
          state = extension(state, c);
          if (state < 0) return this.#broken('a character that is not allowed in a chunk extension');
          break;
        case S.sizeLf:
          if (c !== 10) return this.#broken('a bare carriage return after a chunk size');
          this.#digits = 0;
          this.#extension = 0;
          state = this.#size === 0 ? S.trailer : S.data;
          break;
        case S.dataCr:
          if (c !== 13) return this.#broken('chunk data that is longer than its size');
          state = S.dataLf;
          break;
        case S.dataLf:
          if (c !== 10) return this.#broken('a bare carriage return after chunk data');
          state = S.size;
          break;
        case S.trailer:
          if (c === 13) state = S.endLf;
          else if (TOKEN[c] === 1) {
            this.#name = String.fromCharCode(c);
            this.#trailer++;
            state = S.name;
          } else return this.#broken('a trailer line that is not a header field');
          break;
        case S.name:
          if (++this.#trailer > MAX_TRAILER) return this.#broken('trailers that are too long');
          if (c === 58) {
            const name = this.#name.toLowerCase();
            if (FORBIDDEN.has(name) || this.#named?.has(name))
              return this.#broken('a trailer field that is not allowed');
            state = S.value;
          } else if (TOKEN[c] === 1) this.#name += String.fromCharCode(c);
          else return this.#broken('a trailer line that is not a header field');
          break;
        case S.value:
          if (++this.#trailer > MAX_TRAILER) return this.#broken('trailers that are too long');
          if (c === 13) state = S.valueLf;
          else if (VALUE[c] !== 1) return this.#broken('a control character in a trailer');
          break;
        case S.valueLf:
          if (c !== 10) return this.#broken('a bare carriage return in a trailer');
          state = S.trailer;
          break;
        case S.endLf:
          if (c !== 10) return this.#broken('a bare carriage return behind the trailers');
          this.#state = S.done;
          this.done = true;
          return i;
        default:
          return this.#broken('bytes behind the end of the body');
      }
    }
    this.#state = state;
    return i;
  }

  #broken(reason: string): number {
    this.fault = reason;
    return -1;
  }
}

/** One step through `;name[=value]`: the next state, or -1. */
function extension(state: number, c: number): number {
  if (state === S.extQuoted) return c === 34 ? S.extAfter : c !== 92 && VALUE[c] === 1 ? S.extQuoted : -1;
  if (state !== S.extAfter && TOKEN[c] === 1) {
    return state === S.extName ? S.extNameMore : state === S.extValue ? S.extValueMore : state;
  }
  if (state === S.extValue && c === 34) return S.extQuoted;
  if (state === S.extName || state === S.extValue) return -1;
  if (c === 13) return S.sizeLf;
  if (c === 59) return S.extName;
  if (c === 61 && state === S.extNameMore) return S.extValue;
  return -1;
}
