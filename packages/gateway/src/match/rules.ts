/** Rules that choose by host: shared by routers and policies, so that the same words mean the same everywhere. */
import { z } from 'zod';
import { type Fault, pointer } from '../fault.ts';
import { normalizeHost } from './host.ts';
import { canonicalIp, PrefixTable, parseCidr, parseIp } from './ip.ts';
import { RegexList } from './regex.ts';

export const matchers = ['exact_match', 'child_match', 'subnet_match', 'regex_match'] as const;
export type Matcher = (typeof matchers)[number];

const Pattern = z.string().min(1).max(1000);
export const oneOrMany = (description: string) =>
  z
    .union([Pattern, z.array(Pattern).min(1)])
    .optional()
    .describe(description);

export const hostMatchers = {
  exact_match: oneOrMany('Hosts: a name or an IP address'),
  child_match: oneOrMany('Domains: each with all names below it, label by label; "*.example.com" is "example.com"'),
  regex_match: oneOrMany('Regular expressions (RE2 syntax, case ignored), looked for anywhere in the host'),
};
export const subnetMatcher = {
  subnet_match: oneOrMany('IP networks; only for targets that are IP addresses, names are not resolved'),
};

type HostRule = { readonly [M in Matcher]?: string | readonly string[] | undefined };

/** A pattern of a rule; `index` is its place in a list of them, -1 when it stands alone. */
interface Said {
  readonly matcher: Matcher;
  readonly text: string;
  readonly index: number;
}

/** All patterns of a rule. */
export function patternsOf(rule: HostRule): readonly Said[] {
  const patterns: Said[] = [];
  for (const matcher of matchers) {
    const value = rule[matcher];
    if (value === undefined) continue;
    if (typeof value === 'string') patterns.push({ matcher, text: value, index: -1 });
    else for (let index = 0; index < value.length; index++) patterns.push({ matcher, text: value[index]!, index });
  }
  return patterns;
}

/** Values by host. `find` looks at exact names, then the longest domain, then the longest subnet, then expressions. */
export class HostRules<V> {
  readonly #exact = new Map<string, V>();
  readonly #child = new Map<string, V>();
  readonly #subnets = new PrefixTable<V>();
  readonly #regexes = new RegexList<V>();
  /** What the last `find` that answered a value matched, for the log. */
  matched: Matcher = 'exact_match';
  pattern = '';

  /** The value that the same pattern has already; only when there is none `value` is set. Throws on a bad pattern. */
  add(matcher: Matcher, text: string, value: V): V | undefined {
    if (matcher === 'regex_match') return this.#regexes.add(text, value);
    if (matcher === 'subnet_match') return this.#subnets.add(parseCidr(text), value);
    const child = matcher === 'child_match';
    const host = normalizeHost(child && text.startsWith('*.') ? text.slice(2) : text);
    if (host === null) throw new Error(`"${text.slice(0, 64)}" is not a host name`);
    if (child && canonicalIp(host) !== null) throw new Error('an IP address has no names below it: use exact_match');
    const map = child ? this.#child : this.#exact;
    const existing = map.get(host);
    if (existing === undefined) map.set(host, value);
    return existing;
  }

  /** `host` as in Target: lower case, no brackets, no trailing dot. */
  find(host: string, literal: boolean): V | undefined {
    let found = this.#exact.get(host);
    if (found !== undefined) return this.#hit(found, 'exact_match', host);
    if (literal) {
      const ip = parseIp(host);
      if (typeof ip === 'bigint' || host.includes(':')) {
        const spelled = canonicalIp(host) ?? host;
        found = this.#exact.get(spelled);
        if (found !== undefined) return this.#hit(found, 'exact_match', spelled);
      }
      if (ip !== null && this.#subnets.size > 0) {
        found = this.#subnets.get(ip);
        if (found !== undefined) return this.#hit(found, 'subnet_match', host);
      }
    } else if (this.#child.size > 0) {
      for (let domain = host; ; ) {
        found = this.#child.get(domain);
        if (found !== undefined) return this.#hit(found, 'child_match', domain);
        const dot = domain.indexOf('.');
        if (dot < 0) break;
        domain = domain.slice(dot + 1);
      }
    }
    const regex = this.#regexes.find(host);
    return regex === undefined ? undefined : this.#hit(regex.value, 'regex_match', regex.pattern);
  }

  #hit(value: V, matched: Matcher, pattern: string): V {
    this.matched = matched;
    this.pattern = pattern;
    return value;
  }
}

/** How many patterns are handled between two pauses. */
export const PAUSE = 512;

/**
 * Faults of rules: each must have one matcher, each pattern must be valid, and one pattern must not mean two things.
 * `meaning` tells what a rule leads to; `scope` keeps apart what never competes.
 */
export function* checkRules<R extends HostRule>(
  rules: readonly R[],
  meaning: (rule: R) => string,
  scope: (rule: R) => string = () => '',
): Generator<Fault | undefined> {
  const scopes = new Map<string, HostRules<{ meaning: string; index: number }>>();
  let n = 0;
  for (let index = 0; index < rules.length; index++) {
    const rule = rules[index]!;
    let given = 0;
    for (const matcher of matchers) if (rule[matcher] !== undefined) given++;
    if (given !== 1) {
      const all = matchers.filter((m) => rule[m] !== undefined);
      const message = given === 0 ? 'the rule matches nothing' : `only one of ${all.join(', ')} in a rule`;
      yield { pointer: pointer('rules', index), code: 'one_matcher', message };
    }
    const key = scope(rule);
    let known = scopes.get(key);
    if (!known) {
      known = new HostRules();
      scopes.set(key, known);
    }
    const value = { meaning: meaning(rule), index };
    for (const p of patternsOf(rule)) {
      if (++n % PAUSE === 0) yield undefined;
      const at = () => pointer('rules', index, p.matcher, ...(p.index < 0 ? [] : [p.index]));
      try {
        const other = known.add(p.matcher, p.text, value);
        if (other && other.meaning !== value.meaning) {
          const message = `"${p.text}" is ${p.matcher} of /rules/${other.index} already, with another result`;
          yield { pointer: at(), code: 'duplicate_rule', message };
        }
      } catch (error) {
        yield { pointer: at(), code: codes[p.matcher], message: (error as Error).message };
      }
    }
  }
}

const codes = {
  exact_match: 'bad_host',
  child_match: 'bad_host',
  subnet_match: 'bad_cidr',
  regex_match: 'bad_regex',
} as const;

/** A fault for each entry of a list of networks that is none. */
export function* checkNetworks(networks: readonly string[], at: string): Generator<Fault> {
  for (let i = 0; i < networks.length; i++) {
    try {
      parseCidr(networks[i]!);
    } catch (error) {
      yield { pointer: `${at}/${i}`, code: 'bad_cidr', message: (error as Error).message };
    }
  }
}
