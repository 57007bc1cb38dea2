import { isIPv6 } from 'node:net';
import { canonicalIpv6 } from '@arcus/protocol/http1/target.ts';

/** An IP address as a number: IPv4 as `number`, IPv6 as `bigint`. IPv4-mapped IPv6 is its IPv4 address. */
export type Ip = number | bigint;

const DOT = 46;

/** Four decimal numbers without leading zeros (RFC 6943 section 3.1.1, strict); -1 for anything else. */
export function parseIpv4(text: string): number {
  let value = 0;
  let part = -1;
  let dots = 0;
  if (text.length > 15) return -1;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === DOT) {
      if (part < 0 || ++dots > 3) return -1;
      value = value * 256 + part;
      part = -1;
    } else if (c >= 48 && c <= 57) {
      if (part === 0) return -1;
      part = part < 0 ? c - 48 : part * 10 + c - 48;
      if (part > 255) return -1;
    } else return -1;
  }
  return part < 0 || dots !== 3 ? -1 : value * 256 + part;
}

/** The 128 bits of an IPv6 address; null for anything else, also with a zone id. */
function parseIpv6(text: string): bigint | null {
  if (text.includes('%') || !isIPv6(text)) return null;
  let hex = text;
  const tail = text.lastIndexOf(':');
  if (text.includes('.')) {
    const v4 = parseIpv4(text.slice(tail + 1));
    hex = `${text.slice(0, tail + 1)}${Math.floor(v4 / 65536).toString(16)}:${(v4 % 65536).toString(16)}`;
  }
  const [left, right] = hex.split('::');
  const head = left ? left.split(':') : [];
  const end = right ? right.split(':') : [];
  const groups = right === undefined ? head : [...head, ...Array(8 - head.length - end.length).fill('0'), ...end];
  return groups.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
}

const MAPPED = 0xffffn;

/** Null when `text` is not an IP address as it is written today (no octal, no short forms, no zone id). */
export function parseIp(text: string): Ip | null {
  const v4 = parseIpv4(text);
  if (v4 >= 0) return v4;
  const v6 = text.includes(':') ? parseIpv6(text) : null;
  return v6 !== null && v6 >> 32n === MAPPED ? Number(v6 & 0xffffffffn) : v6;
}

export function formatIpv4(ip: number): string {
  return `${ip >>> 24}.${(ip >>> 16) & 255}.${(ip >>> 8) & 255}.${ip & 255}`;
}

/** Text of an IP network: why it is none, or null. */
export function cidrFault(text: string): string | null {
  try {
    parseCidr(text);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** One spelling for each address (RFC 5952); IPv4-mapped IPv6 as IPv4. Null when it is none. */
export function canonicalIp(text: string): string | null {
  const ip = parseIp(text);
  if (ip === null) return null;
  if (typeof ip === 'number') return formatIpv4(ip);
  return canonicalIpv6(text);
}

const NAT64 = 0x0064ff9bn << 64n;
const SIX_TO_FOUR = 0x2002n;

/** The IPv4 address that a translator leads to: 64:ff9b::/96 (RFC 6052). It is the same host. Else undefined. */
export const nat64Ipv4 = (ip: bigint): number | undefined =>
  ip >> 32n === NAT64 ? Number(ip & 0xffffffffn) : undefined;

/** As `nat64Ipv4`, or the address whose router a 6to4 address leads to (RFC 3056): its traffic goes there first. */
export const embeddedIpv4 = (ip: bigint): number | undefined =>
  ip >> 112n === SIX_TO_FOUR ? Number((ip >> 80n) & 0xffffffffn) : nat64Ipv4(ip);

/** A network: its first address and how many leading bits are fixed. */
export interface Cidr {
  readonly base: Ip;
  readonly length: number;
}

/** `10.0.0.0/8`, `2001:db8::/32` or a single address; throws with a sentence that says what is wrong. */
export function parseCidr(text: string): Cidr {
  const slash = text.indexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  const base = parseIp(address);
  if (base === null) throw new Error(`"${clip(text)}" is not an IP network such as 192.0.2.0/24 or 2001:db8::/32`);
  if (typeof base === 'number' && address.includes(':')) {
    throw new Error(`"${clip(text)}" is IPv4 in an IPv6 spelling: write the IPv4 network`);
  }
  const bits = typeof base === 'number' ? 32 : 128;
  if (slash < 0) return { base, length: bits };
  const suffix = text.slice(slash + 1);
  const length = /^(0|[1-9]\d{0,2})$/.test(suffix) ? Number(suffix) : -1;
  if (length < 0 || length > bits) throw new Error(`"${clip(text)}": the prefix length must be 0 to ${bits}`);
  if (keyOf(base, length, bits) !== base) throw new Error(`"${clip(text)}" has bits set behind its prefix`);
  return { base, length };
}

const clip = (text: string): string => (text.length > 64 ? `${text.slice(0, 64)}…` : text);

/** `ip` with all bits behind the prefix cleared. */
function keyOf(ip: Ip, length: number, bits: number): Ip {
  if (typeof ip === 'number') return length === 0 ? 0 : ((ip >>> (32 - length)) << (32 - length)) >>> 0;
  const shift = BigInt(bits - length);
  return (ip >> shift) << shift;
}

/** Is the address in the network? IPv4 is in no network of IPv6. */
export function isIn(ip: Ip, { base, length }: Cidr): boolean {
  return typeof ip === typeof base && keyOf(ip, length, typeof ip === 'number' ? 32 : 128) === base;
}

interface Level<K extends Ip, V> {
  readonly length: number;
  readonly entries: Map<K, V>;
}

/** Longest-prefix match: one Map for each prefix length in use. */
export class PrefixTable<V> {
  readonly #v4: Level<number, V>[] = [];
  readonly #v6: Level<bigint, V>[] = [];
  size = 0;

  /** The value that the same network has already; only when there is none `value` is set. */
  add(cidr: Cidr, value: V): V | undefined {
    const levels = (typeof cidr.base === 'number' ? this.#v4 : this.#v6) as Level<Ip, V>[];
    let level = levels.find((l) => l.length === cidr.length);
    if (!level) {
      level = { length: cidr.length, entries: new Map() };
      levels.push(level);
      levels.sort((a, b) => b.length - a.length);
    }
    const existing = level.entries.get(cidr.base);
    if (existing !== undefined) return existing;
    level.entries.set(cidr.base, value);
    this.size++;
    return undefined;
  }

  /** Gives each network another value. */
  renumber(to: (value: V) => V): void {
    for (const { entries } of [...this.#v4, ...this.#v6] as Level<Ip, V>[]) {
      for (const [base, value] of entries) entries.set(base, to(value));
    }
  }

  get(ip: Ip): V | undefined {
    if (typeof ip === 'number') {
      for (const level of this.#v4) {
        const found = level.entries.get(keyOf(ip, level.length, 32) as number);
        if (found !== undefined) return found;
      }
      return undefined;
    }
    for (const level of this.#v6) {
      const found = level.entries.get(keyOf(ip, level.length, 128) as bigint);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}
