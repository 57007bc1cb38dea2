/** Rules that choose by host: shared by routers and policies, so that the same words mean the same everywhere. */
import { z } from 'zod';
import { type Fault, pointer } from '../fault.ts';
import type { Target } from '../kind.ts';
import type { Steps } from '../slices.ts';
import { normalizeHost } from './host.ts';
import { canonicalIp, formatIpv4, PrefixTable, parseCidr, parseIp } from './ip.ts';
import { NameTable } from './names.ts';
import { MAX_REGEX, RegexList } from './regex.ts';

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
  regex_match: oneOrMany(
    'Regular expressions (RE2 syntax, case ignored), looked for anywhere in the host; each has at most ' +
      `${MAX_REGEX} parts when its repetitions are written out: "[a-z]{1,63}" has 63`,
  ),
};
export const subnetMatcher = {
  subnet_match: oneOrMany('IP networks; only for targets that are IP addresses, names are not resolved'),
};

type HostRule = { readonly [M in Matcher]?: string | readonly string[] | undefined };

/** How many patterns the rules have in all. */
export function patternCount(rules: readonly HostRule[]): number {
  let n = 0;
  const add = (patterns: string | readonly string[] | undefined) => {
    if (patterns !== undefined) n += typeof patterns === 'string' ? 1 : patterns.length;
  };
  for (const { exact_match, child_match, subnet_match, regex_match } of rules) {
    add(exact_match);
    add(child_match);
    add(subnet_match);
    add(regex_match);
  }
  return n;
}

/** Numbers by host. `find` looks at exact names, then the longest domain, then the longest subnet, then expressions. */
export class HostRules {
  readonly #names = new NameTable();
  // Most have neither.
  #subnets: PrefixTable<number> | undefined;
  #regexes: RegexList<number> | undefined;
  /** What the last `find` that answered a value matched, for the log. */
  matched: Matcher = 'exact_match';
  pattern = '';

  /** `names`: about how many names will come. */
  constructor(names = 0) {
    if (names > 0) this.#names.reserve(names);
  }

  /** The value that the same pattern has already; only when there is none `value` is set. Throws on a bad pattern. */
  add(matcher: Matcher, text: string, value: number): number | undefined {
    if (matcher === 'regex_match') {
      this.#regexes ??= new RegexList();
      return this.#regexes.add(text, value);
    }
    if (matcher === 'subnet_match') {
      this.#subnets ??= new PrefixTable();
      return this.#subnets.add(parseCidr(text), value);
    }
    const child = matcher === 'child_match';
    const host = normalizeHost(child && text.startsWith('*.') ? text.slice(2) : text);
    if (host === null) throw new Error(`"${text.slice(0, 64)}" is not a host name`);
    if (child && canonicalIp(host) !== null) throw new Error('an IP address has no names below it: use exact_match');
    const existing = this.#names.add(host, child, value);
    return existing < 0 ? undefined : existing;
  }

  /** `host` as in Target. */
  find(host: string, literal: boolean): number | undefined {
    const named = this.#names.find(host, literal);
    if (named >= 0) {
      const { domain, start } = this.#names;
      return this.#hit(named, domain ? 'child_match' : 'exact_match', host.slice(start));
    }
    if (literal && this.#subnets !== undefined) {
      const ip = parseIp(host);
      const subnet = ip === null ? undefined : this.#subnets.get(ip);
      if (subnet !== undefined) return this.#hit(subnet, 'subnet_match', host);
    }
    const regex = this.#regexes?.find(host);
    return regex === undefined ? undefined : this.#hit(regex.value, 'regex_match', regex.pattern);
  }

  /**
   * The value of the IPv4 address that `target` contains as an IPv6 address: a rule for the one must not be got around
   * with the other. Not a part of `find`: 6to4 leads to another host, so it must open nothing that is closed.
   */
  findEmbedded({ host, literal }: Target, embedded: (ip: bigint) => number | undefined): number | undefined {
    if (!literal || !host.includes(':')) return undefined;
    const ip = parseIp(host);
    const inner = typeof ip === 'bigint' ? embedded(ip) : undefined;
    return inner === undefined ? undefined : this.find(formatIpv4(inner), true);
  }

  /** All patterns are there: each gets another number, and no room is left. With pauses. */
  *settle(to: (value: number) => number): Steps<void> {
    yield* this.#names.renumber(to);
    this.#subnets?.renumber(to);
    this.#regexes?.renumber(to);
    yield;
    this.#names.trim();
    yield;
  }

  #hit(value: number, matched: Matcher, pattern: string): number {
    this.matched = matched;
    this.pattern = pattern;
    return value;
  }
}

/** How many patterns are handled between two pauses. */
export const PAUSE = 512;

/** Each pattern leads to the index of its rule; by scope, which is '' where a kind has none. */
export type RuleTables = Map<string, HostRules>;

/** The tables of rules that have no fault. */
export function* tablesOf<R extends HostRule>(
  rules: readonly R[],
  scope: (rule: R) => string = () => '',
): Generator<void, RuleTables> {
  const tables: RuleTables = new Map();
  for (const _ of checkRules(rules, () => '', scope, tables)) yield;
  return tables;
}

/**
 * Faults of rules: each must have one matcher, each pattern must be valid, and one pattern must not mean two things.
 * `meaning` tells what a rule leads to; `scope` keeps apart what never competes. `tables` is filled on the way.
 */
export function* checkRules<R extends HostRule>(
  rules: readonly R[],
  meaning: (rule: R) => string,
  scope: (rule: R) => string = () => '',
  tables: RuleTables = new Map(),
): Generator<Fault | undefined> {
  const add = (table: HostRules, index: number, matcher: Matcher, text: string, i = -1): Fault | undefined => {
    const at = () => pointer('rules', index, matcher, ...(i < 0 ? [] : [i]));
    try {
      const other = table.add(matcher, text, index);
      if (other === undefined || other === index || meaning(rules[other]!) === meaning(rules[index]!)) return undefined;
      const message = `"${text}" is ${matcher} of /rules/${other} already, with another result`;
      return { pointer: at(), code: 'duplicate_rule', message };
    } catch (error) {
      return { pointer: at(), code: codes[matcher], message: (error as Error).message };
    }
  };
  let n = 0;
  for (let index = 0; index < rules.length; index++) {
    const rule = rules[index]!;
    const given = matchersOf(rule);
    if (given.length !== 1) {
      const message = given.length === 0 ? 'the rule matches nothing' : `only one of ${given.join(', ')} in a rule`;
      yield { pointer: pointer('rules', index), code: 'one_matcher', message };
    }
    const key = scope(rule);
    let table = tables.get(key);
    if (!table) {
      // Rules of one name each are the usual thing; most configs have one scope.
      table = new HostRules(tables.size === 0 ? rules.length : 0);
      tables.set(key, table);
    }
    for (const matcher of given) {
      const patterns = patternsOf(rule, matcher);
      if (typeof patterns === 'string') {
        // An expression takes as long as hundreds of names.
        if (++n % PAUSE === 0 || matcher === 'regex_match') yield undefined;
        const fault = add(table, index, matcher, patterns);
        if (fault) yield fault;
        continue;
      }
      for (let i = 0; i < patterns.length; i++) {
        if (++n % PAUSE === 0 || matcher === 'regex_match') yield undefined;
        const fault = add(table, index, matcher, patterns[i]!, i);
        if (fault) yield fault;
      }
    }
  }
}

/** The matchers that a rule has: one, unless it is wrong. */
function matchersOf({ exact_match, child_match, subnet_match, regex_match }: HostRule): readonly Matcher[] {
  // Said by name: what is looked up by a variable takes ten times as long.
  const others = subnet_match === undefined && regex_match === undefined;
  if (others && exact_match === undefined && child_match !== undefined) return CHILD;
  if (others && child_match === undefined && exact_match !== undefined) return EXACT;
  const rule = { exact_match, child_match, subnet_match, regex_match };
  return matchers.filter((matcher) => rule[matcher] !== undefined);
}
const EXACT: readonly Matcher[] = ['exact_match'];
const CHILD: readonly Matcher[] = ['child_match'];

function patternsOf(rule: HostRule, matcher: Matcher): string | readonly string[] {
  if (matcher === 'exact_match') return rule.exact_match!;
  return matcher === 'child_match' ? rule.child_match! : rule[matcher]!;
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
