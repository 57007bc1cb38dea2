/** Which ports a server lets sessions go to. */
import { z } from 'zod';

const port = z.int().min(1).max(65_535);

export const connectPorts = z
  .array(port)
  .min(1)
  .max(1000)
  .default([443])
  .describe('Ports that CONNECT may name (403 for others)');

export const forwardPorts = z
  .array(port)
  .min(1)
  .max(1000)
  .optional()
  .describe(
    'Ports that forward requests may name (403 for others); without it all but those of services that could take a ' +
      'request for commands of their own: what browsers block (WHATWG Fetch), Redis and memcached',
  );

/**
 * Services that read lines: a body of somebody's choice is commands to them. The list of "bad ports" in the Fetch
 * standard, https://fetch.spec.whatwg.org/#port-blocking, …
 */
const BAD = [
  ...[
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110,
  ],
  ...[
    111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532,
  ],
  ...[540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061],
  ...[6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10_080],
  // … and two that it leaves to browsers' other guards.
  ...[6379, 11_211],
];

const bad: ReadonlySet<number> = new Set(BAD);

const notBad = (port: number): boolean => !bad.has(port);

/** May a forward request name this port? `allowed`: the option's value. */
export function forwardRule(allowed: readonly number[] | undefined): (port: number) => boolean {
  if (allowed === undefined) return notBad;
  const set = new Set(allowed);
  return (number) => set.has(number);
}
