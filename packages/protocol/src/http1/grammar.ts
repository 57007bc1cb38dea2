/** Character classes of RFC 9110 section 5, as tables: one load per character, no branches to get wrong. */
const table = (accepts: (code: number) => boolean): Uint8Array =>
  Uint8Array.from({ length: 256 }, (_, code) => (accepts(code) ? 1 : 0));

const tokenPunctuation = "!#$%&'*+-.^_`|~";
const isAlnum = (c: number) => (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122);

/** tchar, RFC 9110 section 5.6.2. */
export const TOKEN = table((c) => isAlnum(c) || tokenPunctuation.includes(String.fromCharCode(c)));
/** field-vchar, SP and HTAB, RFC 9110 section 5.5: obs-text is let through, all other control characters are not. */
export const VALUE = table((c) => c === 9 || (c >= 0x20 && c !== 0x7f));
/** What a request-target may hold: visible ASCII (RFC 3986 has no other), without the fragment sign. */
export const TARGET = table((c) => c > 0x20 && c < 0x7f && c !== 0x23);
/** A registered name as it is used on the Internet: letters, digits, '-', '.', '_'. No percent-encoding, no userinfo. */
export const HOST = table((c) => isAlnum(c) || c === 45 || c === 46 || c === 95);
/** Value of a hex digit, 255 for anything else. */
export const HEX = Uint8Array.from({ length: 256 }, (_, c) =>
  c >= 48 && c <= 57 ? c - 48 : c >= 65 && c <= 70 ? c - 55 : c >= 97 && c <= 102 ? c - 87 : 255,
);

const BARE = /(?<!\r)\n|\r(?!\n|$)/g;
/** Is there a line feed without its carriage return, or the other way round, at or behind `from`? */
export function hasBareLineEnd(text: string, from: number): boolean {
  BARE.lastIndex = from;
  return BARE.test(text);
}

export const isToken = (text: string): boolean => text.length > 0 && every(TOKEN, text, 0, text.length);

export function every(set: Uint8Array, text: string, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (set[codeAt(text, i)] !== 1) return false;
  return true;
}

const { charCodeAt } = String.prototype;

/**
 * `text.charCodeAt(at)`. V8 keeps strings in many shapes (flat, sliced, joined, …) and looks the method up anew for each
 * character once it has seen more than four of them: an eighth of a request. Called like this there is no look-up.
 */
export const codeAt = (text: string, at: number): number => charCodeAt.call(text, at);
