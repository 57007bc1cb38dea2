/**
 * Host names with a number each, as a Map from text to number would have them, in a quarter of its memory and as bytes
 * beside the heap: what thousands of tenants block is neither walked nor moved by the garbage collector.
 */
import { randomInt } from 'node:crypto';
import type { Steps } from '../slices.ts';

/** Where hashes start: a tenant that cannot know it cannot choose names that all fall on one place. */
const SEED = randomInt(2 ** 32) | 0;
/** FNV-1a, 32 bits. It is fed from the end of a name, so that on its way it has the hash of each domain above it. */
const PRIME = 0x01000193;
const DOT = 46;
/** Bytes of an entry before its name: length, does it stand for a domain, value (four bytes, the lowest first). */
const HEAD = 6;

const NO_SLOTS = new Uint32Array(1);
const NO_BYTES = new Uint8Array(0);

/** What spreads a hash over the places: the last characters alone move only its upper bits. */
function mix(hash: number): number {
  let h = hash ^ (hash >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** The least power of two with room for `size` entries, a third of it free. */
function placesFor(size: number): number {
  let places = 4;
  while (places * 2 < size * 3) places *= 2;
  return places;
}

export class NameTable {
  /** 1 + the place of an entry in `#bytes`; 0 is free. Its length is a power of two. */
  #slots = NO_SLOTS;
  #bytes = NO_BYTES;
  #end = 0;
  #size = 0;
  #domains = 0;
  /** Where in the host the name begins that `find` found last, and whether it is a domain. */
  start = 0;
  domain = false;

  /** Names in it; one that is both a host and a domain counts twice. */
  get size(): number {
    return this.#size;
  }

  /** Room for so many names at once. */
  reserve(names: number): void {
    const places = placesFor(names);
    if (places > this.#slots.length) this.#place(places);
    if (this.#bytes.length < names * 32) this.#grow(names * 32);
  }

  /**
   * `name` as `normalizeHost` spells it: ASCII, at most 253 characters. `domain`: it stands for all names below it, too.
   * The value that it has already; only when it has none, which is -1, `value` is set: 0 to 2^31 - 1.
   */
  add(name: string, domain: boolean, value: number): number {
    const at = this.#end;
    const length = name.length;
    if (at + HEAD + length > this.#bytes.length) this.#grow(Math.max(256, this.#bytes.length * 2));
    const bytes = this.#bytes;
    // It is written where it would stand, and stays there if it is new.
    let hash = SEED;
    for (let i = length - 1; i >= 0; i--) {
      const c = name.charCodeAt(i);
      bytes[at + HEAD + i] = c;
      hash = Math.imul(hash ^ c, PRIME);
    }
    const known = this.#seek(hash, name, 0, domain);
    if (known >= 0) return this.#value(known);
    if (this.#size * 3 + 3 > this.#slots.length * 2) this.#place(placesFor(Math.max(8, this.#size * 2)));
    bytes[at] = length;
    bytes[at + 1] = domain ? 1 : 0;
    this.#set(at, value);
    this.#end = at + HEAD + length;
    this.#take(hash, at);
    this.#size++;
    if (domain) this.#domains++;
    return -1;
  }

  /** The value of the host itself, else of the longest domain that it is in (not for an address: `literal`); else -1. */
  find(host: string, literal: boolean): number {
    if (this.#size === 0) return -1;
    const domains = this.#domains > 0 && !literal;
    let hash = SEED;
    let best = -1;
    for (let i = host.length - 1; i >= 0; i--) {
      const c = host.charCodeAt(i);
      if (c === DOT && domains) {
        const at = this.#seek(hash, host, i + 1, true);
        if (at >= 0) {
          best = at;
          this.start = i + 1;
        }
      }
      hash = Math.imul(hash ^ c, PRIME);
    }
    const own = this.#seek(hash, host, 0, false);
    const whole = own < 0 && domains ? this.#seek(hash, host, 0, true) : own;
    if (whole >= 0) {
      best = whole;
      this.start = 0;
    }
    if (best < 0) return -1;
    this.domain = this.#bytes[best + 1] === 1;
    return this.#value(best);
  }

  /** Gives each name another value, with pauses; nothing may be added meanwhile. */
  *renumber(to: (value: number) => number): Steps<void> {
    let n = 0;
    for (let at = 0; at < this.#end; at += HEAD + this.#bytes[at]!) {
      this.#set(at, to(this.#value(at)));
      if (++n % 4096 === 0) yield;
    }
  }

  /** Nothing comes to it for now: gives back what it has in reserve. */
  trim(): void {
    if (this.#size === 0) return;
    const places = placesFor(this.#size);
    const memory = new ArrayBuffer(places * 4 + this.#end);
    const bytes = new Uint8Array(memory, places * 4);
    bytes.set(this.#bytes.subarray(0, this.#end));
    this.#bytes = bytes;
    if (places === this.#slots.length) {
      const slots = new Uint32Array(memory, 0, places);
      slots.set(this.#slots);
      this.#slots = slots;
    } else this.#place(places, new Uint32Array(memory, 0, places));
  }

  /** Where the entry is of `host` from `start` on; -1 when there is none. */
  #seek(hash: number, host: string, start: number, domain: boolean): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    const length = host.length - start;
    const kind = domain ? 1 : 0;
    for (let i = mix(hash) & mask; ; i = (i + 1) & mask) {
      const at = slots[i]! - 1;
      if (at < 0) return -1;
      if (this.#bytes[at] === length && this.#bytes[at + 1] === kind && this.#same(at + HEAD, host, start)) return at;
    }
  }

  #same(at: number, host: string, start: number): boolean {
    const bytes = this.#bytes;
    for (let i = start; i < host.length; i++) if (bytes[at + i - start] !== host.charCodeAt(i)) return false;
    return true;
  }

  #value(at: number): number {
    const b = this.#bytes;
    return b[at + 2]! | (b[at + 3]! << 8) | (b[at + 4]! << 16) | (b[at + 5]! << 24);
  }

  #set(at: number, value: number): void {
    const b = this.#bytes;
    b[at + 2] = value;
    b[at + 3] = value >>> 8;
    b[at + 4] = value >>> 16;
    b[at + 5] = value >>> 24;
  }

  #take(hash: number, at: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let i = mix(hash) & mask;
    while (slots[i] !== 0) i = (i + 1) & mask;
    slots[i] = at + 1;
  }

  /** Puts all entries into so many places. */
  #place(places: number, slots = new Uint32Array(places)): void {
    this.#slots = slots;
    const bytes = this.#bytes;
    for (let at = 0; at < this.#end; at += HEAD + bytes[at]!) {
      let hash = SEED;
      for (let i = at + HEAD + bytes[at]! - 1; i >= at + HEAD; i--) hash = Math.imul(hash ^ bytes[i]!, PRIME);
      this.#take(hash, at);
    }
  }

  #grow(length: number): void {
    const bytes = new Uint8Array(length);
    bytes.set(this.#bytes.subarray(0, this.#end));
    this.#bytes = bytes;
  }
}
