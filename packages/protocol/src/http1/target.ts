/** Request targets, RFC 9112 section 3.2. */
import { isIP } from 'node:net';
import { type Refused, refuse } from './fields.ts';
import { codeAt, every, HOST } from './grammar.ts';

/** Where a request wants to go. `host`: lower case, no brackets, no trailing dot, an IP address in one spelling. */
export interface Authority {
  readonly host: string;
  readonly port: number;
  /** True for an IP literal. */
  readonly literal: boolean;
  /** `host:port`, for looking things up: made once, so that its hash is. */
  readonly key: string;
  /** As it is written in a Host field: brackets around IPv6, the port left out when it is `defaultPort`. */
  readonly text: string;
}

const MAPPED = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;

/** The one spelling of an IPv6 address without a zone id (RFC 5952); an IPv4-mapped one is written as IPv4. */
export function canonicalIpv6(text: string): string {
  const spelled = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  const mapped = MAPPED.exec(spelled);
  if (mapped === null) return spelled;
  const [high, low] = [Number.parseInt(mapped[1]!, 16), Number.parseInt(mapped[2]!, 16)];
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

/**
 * `host[:port]`, digits only, 1 to 65535. Userinfo, percent-encoding, zone ids, empty labels and numbers that only
 * look like an IPv4 address ("127.1", "0x7f.1", "2130706433") are refused: every part of the system must mean the
 * same host. IPv6 is spelled as RFC 5952 says, IPv4-mapped IPv6 as the IPv4 address that it is. `defaultPort` 0 makes the port mandatory (CONNECT, RFC 9110 section 9.3.6).
 */
export function parseAuthority(text: string, defaultPort: number): Authority | Refused {
  let host: string;
  let rest: string;
  let literal = false;
  if (codeAt(text, 0) === 91) {
    const close = text.indexOf(']');
    host = text.slice(1, close).toLowerCase();
    if (close < 0 || isIP(host) !== 6 || host.includes('%')) return refuse('not an IPv6 address in brackets');
    host = canonicalIpv6(host);
    rest = text.slice(close + 1);
    literal = true;
  } else {
    const colon = text.indexOf(':');
    host = (colon < 0 ? text : text.slice(0, colon)).toLowerCase();
    rest = colon < 0 ? '' : text.slice(colon);
    if (host.endsWith('.')) host = host.slice(0, -1);
    if (host === '' || host.length > 253 || !every(HOST, host, 0, host.length)) return refuse('not a host name');
    if (codeAt(host, 0) === 46 || host.endsWith('.') || host.includes('..'))
      return refuse('an empty label in the host name');
    const last = host.slice(host.lastIndexOf('.') + 1);
    if (/^(?:[0-9]+|0x[0-9a-f]*)$/.test(last)) {
      if (isIP(host) !== 4) return refuse('a number that is not an IPv4 address');
      literal = true;
    }
  }
  let port = defaultPort;
  if (rest !== '') {
    const digits = rest.slice(1);
    if (codeAt(rest, 0) !== 58 || !/^[0-9]{1,5}$/.test(digits)) return refuse('not a port number');
    port = Number(digits);
  }
  if (port < 1 || port > 65535) return refuse(rest === '' ? 'the port is missing' : 'a port out of range');
  const bare = host.includes(':') ? `[${host}]` : host;
  const key = `${bare}:${port}`;
  return { host, port, literal, key, text: port === defaultPort ? bare : key };
}
