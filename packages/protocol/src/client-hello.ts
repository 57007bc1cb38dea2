/**
 * The TLS ClientHello, as far as a proxy must know it: RFC 8446 section 4.1.2, RFC 6066 section 3 (server_name),
 * RFC 7301 (ALPN). Strict: what is not well formed is no ClientHello. It may be spread over several records, and any
 * prefix of it is `partial`.
 */
export type ClientHello =
  | { readonly state: 'partial' }
  | { readonly state: 'invalid'; readonly reason: string }
  | {
      readonly state: 'complete';
      /** Lower case; '' when the client sent none. */
      readonly serverName: string;
      readonly alpn: readonly string[];
      /** Highest version offered: 0x0304 is TLS 1.3. */
      readonly version: number;
      /** Bytes of the records it came in. */
      readonly size: number;
    };

const partial: ClientHello = { state: 'partial' };
const invalid = (reason: string): ClientHello => ({ state: 'invalid', reason });

const HANDSHAKE = 0x16;
const CLIENT_HELLO = 1;
/** RFC 8446 section 5.1: a record holds at most 2^14 bytes. */
const MAX_RECORD = 16_384;
/** Real ones are below 4 KiB, with post-quantum key shares too; a limit keeps what we wait for small. */
export const MAX_CLIENT_HELLO = 65_536;

/** Reads from the first byte of the connection. */
export function readClientHello(bytes: Uint8Array): ClientHello {
  // Join the handshake bytes of all records that are here.
  const parts: Uint8Array[] = [];
  let have = 0;
  let need = 4;
  let at = 0;
  while (have < need) {
    if (at < bytes.length && bytes[at] !== HANDSHAKE) return invalid('not a handshake record');
    if (at + 1 < bytes.length && bytes[at + 1] !== 3) return invalid('not a TLS version');
    if (at + 2 < bytes.length && bytes[at + 2]! > 4) return invalid('not a TLS version');
    if (at + 5 > bytes.length) return partial;
    const length = (bytes[at + 3]! << 8) | bytes[at + 4]!;
    if (length === 0) return invalid('an empty handshake record');
    if (length > MAX_RECORD) return invalid('a record over 16384 bytes');
    const part = bytes.subarray(at + 5, at + 5 + length);
    parts.push(part);
    have += part.length;
    const start = have === part.length || need === 4 ? concat(parts, 4) : null;
    if (start && start.length > 0 && start[0] !== CLIENT_HELLO) return invalid('not a ClientHello');
    if (start && start.length === 4) {
      need = 4 + ((start[1]! << 16) | (start[2]! << 8) | start[3]!);
      if (need > MAX_CLIENT_HELLO) return invalid('a ClientHello over 65536 bytes');
    }
    at += 5 + length;
    if (part.length < length && have < need) return partial;
  }
  // The client waits for our answer after its hello: more handshake bytes in the same record are none of it.
  const message = concat(parts, have);
  if (have > need) return invalid('bytes behind the ClientHello in its record');
  return readBody(message.subarray(4), Math.min(at, bytes.length));
}

function concat(parts: readonly Uint8Array[], max: number): Uint8Array {
  if (parts.length === 1) return parts[0]!.subarray(0, max);
  const out = new Uint8Array(
    Math.min(
      max,
      parts.reduce((n, p) => n + p.length, 0),
    ),
  );
  let at = 0;
  for (const part of parts) {
    const piece = part.subarray(0, out.length - at);
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

/** A cursor that never reads past its end: `bad` is set instead. */
class Reader {
  readonly bytes: Uint8Array;
  at = 0;
  bad = false;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  number(size: 1 | 2): number {
    if (this.left < size) {
      this.bad = true;
      return 0;
    }
    const value = size === 1 ? this.bytes[this.at]! : (this.bytes[this.at]! << 8) | this.bytes[this.at + 1]!;
    this.at += size;
    return value;
  }

  take(length: number): Uint8Array {
    if (this.left < length) {
      this.bad = true;
      return this.bytes.subarray(0, 0);
    }
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  /** A vector with its length before it. */
  vector(size: 1 | 2): Reader {
    const reader = new Reader(this.take(this.number(size)));
    reader.bad = this.bad;
    return reader;
  }
}

function readBody(body: Uint8Array, size: number): ClientHello {
  const r = new Reader(body);
  const legacy = r.number(2);
  r.take(32);
  const session = r.vector(1);
  const ciphers = r.vector(2);
  const compression = r.vector(1);
  if (r.bad || legacy >> 8 !== 3) return invalid('a malformed ClientHello');
  if (session.left > 32 || ciphers.left < 2 || ciphers.left % 2 !== 0 || compression.left < 1) {
    return invalid('a malformed ClientHello');
  }
  let serverName = '';
  let alpn: string[] = [];
  let version = legacy;
  if (r.left > 0) {
    const extensions = r.vector(2);
    if (r.bad || r.left > 0) return invalid('malformed extensions');
    const seen = new Set<number>();
    while (extensions.left > 0) {
      const type = extensions.number(2);
      const data = extensions.vector(2);
      if (extensions.bad) return invalid('malformed extensions');
      // RFC 8446 section 4.2: no extension twice. Two server names would let policy see one and the site the other.
      if (seen.has(type)) return invalid('an extension twice');
      seen.add(type);
      if (type === 0) {
        const name = readServerName(data);
        if (name === null) return invalid('a malformed server_name');
        serverName = name;
      } else if (type === 16) {
        const list = readAlpn(data);
        if (list === null) return invalid('a malformed ALPN list');
        alpn = list;
      } else if (type === 43) {
        const versions = data.vector(1);
        if (versions.bad || data.left > 0 || versions.left % 2 !== 0) return invalid('malformed supported_versions');
        version = 0;
        while (versions.left > 0) {
          const v = versions.number(2);
          // 0x?a?a are GREASE values (RFC 8701), which mean nothing.
          if ((v & 0x0f0f) !== 0x0a0a && v > version) version = v;
        }
      }
    }
  }
  return { state: 'complete', serverName, alpn, version, size };
}

function readServerName(data: Reader): string | null {
  const list = data.vector(2);
  if (data.bad || data.left > 0 || list.left === 0) return null;
  const type = list.number(1);
  const name = list.vector(2);
  // RFC 6066: one name of each type, and host_name is the only type.
  if (list.bad || list.left > 0 || type !== 0 || name.left === 0 || name.left > 255) return null;
  const text = latin1(name).toLowerCase();
  return /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?$/.test(text) ? text.replace(/\.$/, '') : null;
}

function readAlpn(data: Reader): string[] | null {
  const list = data.vector(2);
  if (data.bad || data.left > 0 || list.left === 0) return null;
  const names: string[] = [];
  while (list.left > 0) {
    const name = list.vector(1);
    if (list.bad || name.left === 0) return null;
    names.push(latin1(name));
  }
  return names;
}

const latin1 = (r: Reader): string => String.fromCharCode(...r.bytes);
