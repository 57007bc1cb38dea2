import { domainToASCII } from 'node:url';
import { canonicalIp } from './ip.ts';

const NAME = /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/;
const NUMERIC_END = /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/;

/**
 * A host as sessions name it: lower case, no trailing dot, IDNs in their ASCII form, IP addresses in one spelling.
 * Null when it is no host name: also for what looks like an IP address and is not quite one (`127.1`, `0x7f.1`).
 */
export function normalizeHost(text: string): string | null {
  let host = text.toLowerCase();
  if (host.endsWith('.')) host = host.slice(0, -1);
  if (host.includes(':')) return canonicalIp(host);
  if (/[^\x00-\x7f]/.test(host)) host = domainToASCII(host);
  if (host.length > 253 || !NAME.test(host)) return null;
  if (NUMERIC_END.test(host)) return canonicalIp(host);
  return host;
}
