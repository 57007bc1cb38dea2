import { z } from 'zod';
import { type Cidr, cidrFault, embeddedIpv4, type Ip, isIn, PrefixTable, parseCidr, parseIp } from '../match/ip.ts';
import { meaning } from '../refine.ts';

/**
 * The egress guard: which IP addresses may be dialled. It sees addresses after resolution, never names, and what it
 * lets through is dialled as it is, so no spelling and no second DNS answer gets around it.
 */
export const egressAllow = z
  .array(
    z.strictObject({
      network: meaning(z.string().min(1).max(64), 'bad_cidr', cidrFault).describe(
        'IP network, such as 10.1.0.0/16, or one address',
      ),
      ports: z.array(z.int().min(1).max(65535)).min(1).max(1000).optional().describe('Only these ports; all if absent'),
    }),
  )
  .default([])
  .describe(
    'Addresses that the egress guard would refuse (loopback, private, link-local, metadata, …) and that are wanted. ' +
      'A metadata address must be named alone, not as a part of a network',
  );
export type EgressAllow = z.output<typeof egressAllow>;

/** IANA special-purpose registries (RFC 6890) and cloud metadata services; the longest prefix says what it is. */
const refusedV4: readonly (readonly [string, string])[] = [
  ['0.0.0.0/8', 'unspecified'],
  ['10.0.0.0/8', 'private'],
  ['100.64.0.0/10', 'private'],
  ['100.100.100.200/32', 'metadata'],
  ['127.0.0.0/8', 'loopback'],
  ['168.63.129.16/32', 'metadata'],
  ['169.254.0.0/16', 'link-local'],
  ['169.254.169.123/32', 'metadata'],
  ['169.254.169.253/32', 'metadata'],
  ['169.254.169.254/32', 'metadata'],
  ['169.254.170.2/32', 'metadata'],
  ['169.254.170.23/32', 'metadata'],
  ['172.16.0.0/12', 'private'],
  ['192.0.0.0/24', 'reserved'],
  ['192.0.0.192/32', 'metadata'],
  ['192.0.2.0/24', 'reserved'],
  ['192.88.99.0/24', 'reserved'],
  ['192.168.0.0/16', 'private'],
  ['198.18.0.0/15', 'reserved'],
  ['198.51.100.0/24', 'reserved'],
  ['203.0.113.0/24', 'reserved'],
  ['224.0.0.0/4', 'multicast'],
  ['240.0.0.0/4', 'reserved'],
  ['255.255.255.255/32', 'broadcast'],
];
/** Only 2000::/3 is global unicast; all else is refused unless an entry here says better. */
const refusedV6: readonly (readonly [string, string])[] = [
  ['::/0', 'reserved'],
  ['::/96', 'reserved'],
  ['::/128', 'unspecified'],
  ['::1/128', 'loopback'],
  ['2000::/3', ''],
  ['2001::/23', 'reserved'],
  ['2001:db8::/32', 'reserved'],
  ['3fff::/20', 'reserved'],
  ['fc00::/7', 'private'],
  ['fd00:ec2::254/128', 'metadata'],
  ['fe80::/10', 'link-local'],
  ['fec0::/10', 'private'],
  ['ff00::/8', 'multicast'],
];

const table = new PrefixTable<string>();
for (const [network, what] of [...refusedV4, ...refusedV6]) table.add(parseCidr(network), what);

/** Why an address is refused by default: loopback, private, metadata, …; '' when it is a public one. */
export function classify(ip: Ip): string {
  if (typeof ip === 'bigint') {
    const inner = embeddedIpv4(ip);
    if (inner !== undefined) return classify(inner);
  }
  return table.get(ip) ?? '';
}

interface Opening {
  readonly network: Cidr;
  /** Is it one address only? */
  readonly single: boolean;
  readonly ports: ReadonlySet<number> | null;
}

export class EgressGuard {
  readonly #openings: readonly Opening[];

  constructor(allow: EgressAllow) {
    this.#openings = allow.map(({ network, ports }) => {
      const cidr = parseCidr(network);
      const single = cidr.length === (typeof cidr.base === 'number' ? 32 : 128);
      return { network: cidr, single, ports: ports ? new Set(ports) : null };
    });
  }

  /** Null when `address` may be dialled on `port`, else why not. */
  refuses(address: string, port: number): string | null {
    const ip = parseIp(address);
    if (ip === null) return address.includes('%') ? 'address with a zone' : 'not an address';
    const what = classify(ip);
    if (what === '') return null;
    for (const { network, single, ports } of this.#openings) {
      if (ports !== null && !ports.has(port)) continue;
      if (isIn(ip, network) && (single || what !== 'metadata')) return null;
    }
    return `${what} address`;
  }

  /** The same as a sentence. */
  explain(address: string, port: number): string {
    const why = this.refuses(address, port) ?? 'not refused';
    return `${address} is ${why.startsWith('not ') ? '' : /^[aeiou]/.test(why) ? 'an ' : 'a '}${why}`;
  }

  /** Those of `addresses` that may be dialled, in order. */
  filter(addresses: readonly string[], port: number): string[] {
    return addresses.filter((address) => this.refuses(address, port) === null);
  }
}
