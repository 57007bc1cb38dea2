import { domainToASCII } from 'node:url';
import { canonicalIp } from './ip.ts';

const NAME = /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/;
const NUMERIC_END = /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/;

/**
 * Is it spelled as sessions spell it already, and surely no address? Most names in rules are: one look at each
 * character is all that they cost. The last label begins with no digit.
 */
function isPlain(text: string): boolean {
  let label = 0;
  let last = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 46) {
      if (i === label || i - label > 63) return false;
      label = i + 1;
      last = 0;
    } else if ((c >= 97 && c <= 122) || c === 45 || c === 95) last ||= c;
    else if (c >= 48 && c <= 57) last ||= 48;
    else return false;
  }
  const length = text.length - label;
  return length > 0 && length <= 63 && text.length <= 253 && last !== 48;
}

/**
 * A host as sessions name it: lower case, no trailing dot, IDNs in their ASCII form, IP addresses in one spelling.
 * Null when it is no host name: also for what looks like an IP address and is not quite one (`127.1`, `0x7f.1`).
 */
export function normalizeHost(text: string): string | null {
  if (isPlain(text)) return text;
  let host = text.toLowerCase();
  if (host.endsWith('.')) host = host.slice(0, -1);
  if (host.includes(':')) return canonicalIp(host);
  if (/[^\x00-\x7f]/.test(host)) host = domainToASCII(host);
  if (host.length > 253 || !NAME.test(host)) return null;
  if (NUMERIC_END.test(host)) return canonicalIp(host);
  return host;
}
