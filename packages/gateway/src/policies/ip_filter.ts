import { z } from 'zod';
import { type Fault, pointer } from '../fault.ts';
import { definePolicy, type Policy, type Verdict } from '../kind.ts';
import { cidrFault, PrefixTable, parseCidr, parseIp } from '../match/ip.ts';
import { meaning } from '../refine.ts';
import type { Session } from '../session.ts';
import { policyFields } from './common.ts';

/** Clients whose result is remembered. */
const REMEMBERED = 8192;

class IpFilter implements Policy {
  readonly name: string;
  readonly type = 'ip_filter';
  readonly priority: number;
  readonly #networks: PrefixTable<Verdict | 'allow'>;
  readonly #fallback: Verdict | 'allow';
  readonly #seen = new Map<string, Verdict | null>();
  readonly #counts: string;

  constructor(config: { name: string; priority: number; allow: string[]; deny: string[]; default: 'allow' | 'block' }) {
    this.name = config.name;
    this.priority = config.priority;
    this.#networks = new PrefixTable();
    for (const network of config.allow) this.#networks.add(parseCidr(network), 'allow');
    for (const network of config.deny) this.#networks.add(parseCidr(network), this.#block(`deny ${network}`));
    this.#fallback = config.default === 'allow' ? 'allow' : this.#block('default');
    this.#counts = `${config.allow.length} networks allowed, ${config.deny.length} denied, ${config.default} otherwise`;
  }

  #block(rule: string): Verdict {
    return { action: 'block', policy: this.name, rule, reason: 'the client address is not allowed', location: '' };
  }

  check(session: Session): Verdict | null {
    let verdict = this.#seen.get(session.client);
    if (verdict === undefined) {
      const ip = parseIp(session.client);
      // An address that cannot be read is in no network: it must not pass as one that is merely unlisted.
      const found = ip === null ? this.#block('default') : (this.#networks.get(ip) ?? this.#fallback);
      verdict = found === 'allow' ? null : found;
      if (this.#seen.size >= REMEMBERED) this.#seen.clear();
      this.#seen.set(session.client, verdict);
    }
    return verdict;
  }

  explain(): string {
    return `Looks at the client's address: ${this.#counts}.`;
  }
}

const Network = meaning(z.string().min(2).max(64), 'bad_cidr', cidrFault);

export const ipFilter = definePolicy({
  type: 'ip_filter',
  description: "Allows or blocks by the client's address; the longest network decides",
  config: {
    ...policyFields,
    allow: z.array(Network).default([]).describe('Networks of clients that may pass'),
    deny: z.array(Network).default([]).describe('Networks of clients that may not pass'),
    default: z.enum(['allow', 'block']).describe('For clients in none of the networks'),
  },
  examples: [
    { name: 'office-only', type: 'ip_filter', allow: ['192.0.2.0/24', '2001:db8:1::/48'], default: 'block' },
    {
      name: 'not-the-lab',
      type: 'ip_filter',
      priority: 10,
      deny: ['10.9.0.0/16'],
      allow: ['10.9.1.0/24'],
      default: 'allow',
    },
  ],
  *check(config): Generator<Fault> {
    const seen = new PrefixTable<'allow' | 'deny'>();
    for (const list of ['allow', 'deny'] as const) {
      for (const [i, network] of config[list].entries()) {
        const other = seen.add(parseCidr(network), list);
        if (other !== undefined && other !== list) {
          const message = `"${network}" is in ${other} too`;
          yield { pointer: pointer(list, i), code: 'duplicate_rule', message };
        }
      }
    }
  },
  create: (config) => new IpFilter(config),
});
