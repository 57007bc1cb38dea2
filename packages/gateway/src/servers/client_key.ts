import { parseIp } from '../match/ip.ts';

/**
 * Who counts as one client: an IPv4 address, or the /64 of an IPv6 address, in which everybody may choose addresses as
 * they like (RFC 4291 section 2.5.1, RFC 8981).
 */
export function clientKey(address: string): string {
  if (!address.includes(':')) return address;
  const zone = address.indexOf('%');
  const ip = parseIp(zone < 0 ? address : address.slice(0, zone));
  return typeof ip === 'bigint' ? `${(ip >> 64n).toString(16)}::/64` : address;
}
