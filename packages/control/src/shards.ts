/**
 * Long lists in shards whose borders are found in the content. A border lies after an item whose own hash says so, with
 * a chance of one in SHARD_ITEMS, more for a large item (a shard shall have about SHARD_BYTES). So a border moves only
 * with its item, and an insertion touches one shard. Behind twice SHARD_BYTES borders get 8 times as likely, which makes
 * the hard limit rare.
 */

const SHARD_ITEMS = 512;
const SHARD_BYTES = 64 * 1024;
const SHARD_MAX = 256 * 1024;

/** A part of a document in the form in which it is stored. */
export interface Packed {
  readonly sha256: string;
  readonly body: Uint8Array;
}

/** A list that was cut, for the next one that shares most of its items. Its items are small: nothing is cut out of them. */
export interface ListCut {
  readonly values: readonly unknown[];
  readonly shards: readonly { readonly items: number; readonly packed: Packed }[];
}

/** JSON of consecutive items. */
export interface ShardText {
  readonly json: string;
  readonly items: number;
}

/** Takes the items' JSON one after another and gives what is complete. */
export class Sharder {
  #texts: string[] = [];
  #bytes = 0;

  /** Does the next item begin a shard? */
  get empty(): boolean {
    return this.#texts.length === 0;
  }

  *add(text: string): Generator<ShardText> {
    const size = Buffer.byteLength(text) + 1;
    if (this.#bytes > 0 && this.#bytes + size > SHARD_MAX) yield this.#close();
    this.#texts.push(text);
    this.#bytes += size;
    const chance = Math.max(1 / SHARD_ITEMS, size / SHARD_BYTES) * (this.#bytes > 2 * SHARD_BYTES ? 8 : 1);
    if (draw(text) < chance) yield this.#close();
  }

  *end(): Generator<ShardText> {
    if (!this.empty) yield this.#close();
  }

  #close(): ShardText {
    const shard = { json: `[${this.#texts.join(',')}]`, items: this.#texts.length };
    this.#texts = [];
    this.#bytes = 0;
    return shard;
  }
}

/** Which shards of a list that was cut before are those of `values`, too. */
export class Again {
  readonly #known: ListCut;
  /** Shards that stay at the beginning, and the item after them. */
  readonly kept: ListCut['shards'];
  readonly start: number;
  readonly #after: number;
  readonly #shift: number;
  /** Where shards began behind what differs -> their number. */
  readonly #begins = new Map<number, number>();

  constructor(known: ListCut, values: readonly unknown[]) {
    const old = known.values;
    const most = Math.min(old.length, values.length);
    let from = 0;
    while (from < most && old[from] === values[from]) from++;
    let same = 0;
    while (same < most - from && old[old.length - 1 - same] === values[values.length - 1 - same]) same++;
    this.#known = known;
    this.#after = values.length - same;
    this.#shift = values.length - old.length;
    let kept = 0;
    let start = 0;
    let begin = 0;
    for (const [number, { items }] of known.shards.entries()) {
      if (begin >= old.length - same) this.#begins.set(begin, number);
      begin += items;
      // The item behind a border has a say in it.
      if (begin < from) [kept, start] = [number + 1, begin];
    }
    this.kept = known.shards.slice(0, kept);
    this.start = start;
  }

  /** The old shards from item `index` on, which begins a shard; null when there they are others. */
  rest(index: number): ListCut['shards'] | null {
    const number = index >= this.#after ? this.#begins.get(index - this.#shift) : undefined;
    return number === undefined ? null : this.#known.shards.slice(number);
  }
}

/** A number in [0, 1) drawn from a text: FNV-1a with murmur3's last step, which spreads the low bits. */
function draw(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
