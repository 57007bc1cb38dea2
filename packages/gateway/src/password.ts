import { createHash, timingSafeEqual } from 'node:crypto';
import { hash, verify } from '@node-rs/argon2';

/** OWASP's parameters for argon2id, which is the library's default algorithm: 19 MiB, 2 passes, 1 lane. */
const options = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

/**
 * What an imported hash may cost at most: a login must not be a way to take the machine's memory, and other tenants
 * wait for as long as one hash runs. The time that it runs goes with memory times passes, whatever the lanes: this is
 * some tenth of a second, and as much as the costliest of the usual defaults (PHP's m=65536, t=4) has.
 */
const MAX_MEMORY_KIB = 131_072;
const MAX_WORK = 262_144;
const MAX_LANES = 8;

/** For people. */
export const HASH_BOUND = `m at most ${MAX_MEMORY_KIB}, m × t at most ${MAX_WORK}, p at most ${MAX_LANES}`;

/** The password as an argon2id hash in PHC form (`$argon2id$v=19$…`), salted with 16 random bytes. */
export function hashPassword(password: string): Promise<string> {
  return hash(password, options);
}

/** Null when `text` is an argon2id hash that may be used, else one sentence that says why not. */
export function hashFault(text: string): string | null {
  const match =
    /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,3})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,172}$/.exec(text);
  if (!match) return 'must be an argon2id hash in PHC form: $argon2id$v=19$m=…,t=…,p=…$salt$hash';
  const [memory, passes, lanes] = match.slice(1).map(Number) as [number, number, number];
  if (memory > MAX_MEMORY_KIB || memory * passes > MAX_WORK || lanes > MAX_LANES) {
    return `is too costly to check at each login: ${HASH_BOUND}`;
  }
  return null;
}

/** Is it the password of this argon2id hash? False too for a hash that may not be used. Runs on the thread pool. */
export async function verifyPassword(phc: string, password: string): Promise<boolean> {
  if (hashFault(phc) !== null) return false;
  return verify(phc, password).catch(() => false);
}

/** The imported form: is `sha1` the hexadecimal SHA-1 of salt and password? In constant time. */
export function verifySha1(token: { salt: string; sha1: string }, password: string): boolean {
  const expected = Buffer.from(token.sha1, 'hex');
  const actual = createHash('sha1').update(token.salt).update(password).digest();
  return expected.length === actual.length && timingSafeEqual(expected, actual);
}
