import { z } from 'zod';
import { type Fault, pointer } from '../fault.ts';
import { definePolicy, type Policy, type Verdict } from '../kind.ts';
import { embeddedIpv4 } from '../match/ip.ts';
import { checkRules, HostRules, hostMatchers, patternCount, type RuleTables, tablesOf } from '../match/rules.ts';
import type { Session } from '../session.ts';
import type { Steps } from '../slices.ts';
import { policyFields } from './common.ts';

const Rule = z.strictObject({
  ...hostMatchers,
  action: z.enum(['allow', 'block', 'redirect']).describe('allow: this policy has no objection'),
  redirect_url: z.string().max(2048).optional().describe('Absolute http(s) URL; with redirect, and only then'),
  id: z.string().min(1).max(128).optional().describe('Names the rule in logs and on block pages'),
});

type Rule = z.output<typeof Rule>;

/** What a rule leads to. Most rules of a policy lead to one of a few. */
type Outcome = Pick<Rule, 'action' | 'redirect_url' | 'id'>;

/** Patterns by which a policy holds its rules as a table alone. A longer list stays: see `parseInSteps`. */
const KEPT = { from: 8, to: 1000 } as const;

/** The rules of a policy, ready to be asked. Tenants whose policies are the same share one. */
class Rules {
  readonly table: HostRules;
  /** By what the table says. */
  readonly outcomes: readonly Outcome[];
  readonly patterns: number;

  private constructor(table: HostRules, outcomes: readonly Outcome[], patterns: number) {
    this.table = table;
    this.outcomes = outcomes;
    this.patterns = patterns;
  }

  static *of(rules: readonly Rule[], table: HostRules): Steps<Rules> {
    const outcomes: Outcome[] = [];
    // Rules that have a name of their own are like no other; of the rest the last few kinds are looked through.
    const plain: number[] = [];
    const byRule = new Map<number, number>();
    yield* table.settle((rule) => {
      const { action, redirect_url, id } = rules[rule]!;
      const isSame = (n: number) => outcomes[n]!.action === action && outcomes[n]!.redirect_url === redirect_url;
      let number = id === undefined ? plain.findLast(isSame) : byRule.get(rule);
      if (number === undefined) {
        number = outcomes.push({ action, redirect_url, id }) - 1;
        if (id !== undefined) byRule.set(rule, number);
        else if (plain.push(number) > 16) plain.shift();
      }
      return number;
    });
    return new Rules(table, outcomes, patternCount(rules));
  }
}

interface UrlFilterConfig {
  name: string;
  priority: number;
  default: 'allow' | 'block';
}

class UrlFilter implements Policy {
  readonly name: string;
  readonly type = 'url_filter';
  readonly priority: number;
  readonly rules: Rules;
  readonly #fallback: Verdict | null;

  constructor(config: UrlFilterConfig, rules: Rules) {
    this.name = config.name;
    this.priority = config.priority;
    this.rules = rules;
    this.#fallback =
      config.default === 'allow'
        ? null
        : { action: 'block', policy: this.name, rule: 'default', reason: 'no rule allows this site', location: '' };
  }

  check(session: Session): Verdict | null {
    const { host, literal } = session.target;
    const { table } = this.rules;
    // IPv4 inside of IPv6 closes, and opens nothing: what is allowed must be meant.
    const inner = table.findEmbedded(session.target, embeddedIpv4);
    const objection = inner === undefined ? null : this.#verdict(inner);
    if (objection !== null) return objection;
    const found = table.find(host, literal);
    return found === undefined ? this.#fallback : this.#verdict(found);
  }

  /** Of what was found last. */
  #verdict(outcome: number): Verdict | null {
    const { table, outcomes } = this.rules;
    const { action, id, redirect_url } = outcomes[outcome]!;
    if (action === 'allow') return null;
    return {
      action,
      policy: this.name,
      rule: id ?? `${table.matched} ${table.pattern}`,
      reason: `the site matches a rule of ${this.name}`,
      location: redirect_url === undefined ? '' : new URL(redirect_url).href,
    };
  }

  explain(): string {
    const { patterns } = this.rules;
    return `Looks at the requested host with ${patterns} patterns; ${this.#fallback ? 'blocks' : 'allows'} the rest.`;
  }
}

export const urlFilter = definePolicy({
  type: 'url_filter',
  description:
    'Allows, blocks or redirects by the requested host: exact names first, then the longest domain, then regular ' +
    'expressions in order',
  config: {
    ...policyFields,
    rules: z.array(Rule).default([]).describe('Rules; their order matters only between regular expressions'),
    default: z.enum(['allow', 'block']).default('allow').describe('For hosts that no rule matches'),
  },
  examples: [
    { name: 'allow-all', type: 'url_filter' },
    {
      name: 'sites',
      type: 'url_filter',
      priority: 50,
      rules: [
        { child_match: ['ads.example', '*.tracker.example'], action: 'block', id: 'ads' },
        { exact_match: 'ok.ads.example', action: 'allow' },
        { exact_match: '198.51.100.7', action: 'block' },
        { regex_match: '(^|\\.)casino[0-9]*\\.', action: 'redirect', redirect_url: 'https://intranet.example/blocked' },
      ],
      default: 'allow',
    },
  ],
  *check(config, { made }): Generator<Fault | undefined> {
    // As `kept` left it: it has passed.
    if (isKept(config.rules)) return;
    const tables: RuleTables = new Map();
    yield* checkRules(config.rules, (rule) => `${rule.action} ${rule.redirect_url ?? ''}`, undefined, tables);
    made?.set(config.rules, tables);
    for (let i = 0; i < config.rules.length; i++) {
      const { action, redirect_url } = config.rules[i]!;
      if (action !== 'redirect' && redirect_url === undefined) continue;
      const at = pointer('rules', i, 'redirect_url');
      if (action === 'redirect' && redirect_url === undefined) {
        yield { pointer: at, code: 'required', message: 'a redirect needs redirect_url' };
      } else if (action !== 'redirect' && redirect_url !== undefined) {
        yield { pointer: at, code: 'no_effect', message: `redirect_url does nothing with action ${action}` };
      } else if (redirect_url !== undefined && !isWebUrl(redirect_url)) {
        yield { pointer: at, code: 'bad_url', message: 'must be an absolute http or https URL' };
      }
    }
  },
  *create(config, { made }): Generator<void, Policy> {
    if (isKept(config.rules)) return new UrlFilter(config, config.rules);
    const tables = (made?.get(config.rules) as RuleTables | undefined) ?? (yield* tablesOf(config.rules));
    return new UrlFilter(config, yield* Rules.of(config.rules, tables.get('') ?? new HostRules()));
  },
  kept: (config, live) => {
    const { rules } = live as UrlFilter;
    return rules.patterns < KEPT.from || rules.patterns > KEPT.to ? config : { ...config, rules: rules as never };
  },
});

const isKept = (rules: unknown): rules is Rules => rules instanceof Rules;

/** No user name in it, and nothing that could end a header line. */
function isWebUrl(text: string): boolean {
  if (/[\s\p{Cc}]/u.test(text) || !/^https?:\/\//i.test(text) || !URL.canParse(text)) return false;
  const url = new URL(text);
  return url.username === '' && url.password === '';
}
