/** Mutations of byte strings, from a seeded generator: the same seed gives the same inputs. */

/** xorshift32: fast, and good enough to choose where to cut. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }
  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }
  /** 0 up to n - 1. */
  below(n: number): number {
    return this.next() % n;
  }
}

/** Bytes that mean something to a parser. */
const sharp = Buffer.from('\r\n\r\n \t:;,="0123456789aAfFgGxX+-_/\\#@[]%\0\x0b\x0c\x7f\x80\x85\xa0\xff', 'latin1');
/** Pieces that attackers join. */
const pieces = [
  '\r\n\r\n',
  '\r\n ',
  '\n',
  '\r',
  '0\r\n\r\n',
  'Content-Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Connection: close\r\n',
  'Host: a\r\n',
  ' HTTP/1.1\r\n',
  'GET / HTTP/1.1\r\n',
  'ffffffffffffffff',
  '5;a="b"\r\n',
  'Upgrade: x\r\n',
  'http://',
  'HTTP/1.1 200 OK\r\n',
].map((text) => Buffer.from(text, 'latin1'));

/** Longest input that is made. */
const MAX = 4096;

/** A mutated copy of one of `seeds`, in `out`; answers its length. */
export function mutate(random: Random, seeds: readonly Buffer[], out: Buffer): number {
  let length = seeds[random.below(seeds.length)]!.copy(out);
  for (let n = 1 + random.below(6); n > 0; n--) {
    const at = random.below(length + 1);
    switch (random.below(8)) {
      case 0: // one bit
        if (at < length) out[at]! ^= 1 << random.below(8);
        break;
      case 1:
        if (at < length) out[at] = sharp[random.below(sharp.length)]!;
        break;
      case 2:
        length = insert(out, length, at, sharp.subarray(random.below(sharp.length)).subarray(0, 1));
        break;
      case 3:
        length = insert(out, length, at, pieces[random.below(pieces.length)]!);
        break;
      case 4: {
        const size = Math.min(1 + random.below(16), length - at);
        out.copyWithin(at, at + size, length);
        length -= size;
        break;
      }
      case 5: // the middle of another seed
        length = insert(out, length, at, slice(random, seeds[random.below(seeds.length)]!));
        break;
      case 6: // itself again
        length = insert(out, length, at, Buffer.from(slice(random, out.subarray(0, length))));
        break;
      default: // cut off
        length = random.below(4) === 0 ? at : length;
    }
  }
  return length;
}

function slice(random: Random, of: Buffer): Buffer {
  const from = random.below(of.length + 1);
  return of.subarray(from, from + random.below(200));
}

function insert(out: Buffer, length: number, at: number, what: Buffer): number {
  const size = Math.min(what.length, MAX - length);
  if (size <= 0) return length;
  out.copyWithin(at + size, at, length);
  what.copy(out, at, 0, size);
  return length + size;
}

export const scratch = () => Buffer.alloc(MAX);
