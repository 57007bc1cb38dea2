import { z } from 'zod';
import { type Fault, pointer } from '../fault.ts';
import { defineEscaper, type Egress, type Escaper, Name, type Ref, type Target } from '../kind.ts';
import { nat64Ipv4 } from '../match/ip.ts';
import {
  checkRules,
  HostRules,
  hostMatchers,
  PAUSE,
  patternCount,
  type RuleTables,
  subnetMatcher,
  tablesOf,
} from '../match/rules.ts';
import type { Session } from '../session.ts';

const Rule = z.strictObject({
  ...hostMatchers,
  ...subnetMatcher,
  next: Name.describe('Escaper for what matches'),
  tenant_specific: z
    .string()
    .min(1)
    .max(63)
    .optional()
    .describe(
      'The id of the tenant whose config this is, and of no other: sessions of a server are of the tenant that it ' +
        'belongs to. The rule comes before all rules without it',
    ),
});

type Rule = z.output<typeof Rule>;

const scopeOf = (rule: Rule): string => rule.tenant_specific ?? '';

class RouteUpstream implements Escaper {
  readonly name: string;
  readonly type = 'route_upstream';
  readonly #tables: RuleTables;
  readonly #global: HostRules;
  /** By index of the rule. */
  readonly #next: readonly Escaper[];
  readonly #fallback: Escaper;
  readonly #rules: readonly Rule[];

  constructor(
    config: { name: string; rules: readonly Rule[] },
    tables: RuleTables,
    next: readonly Escaper[],
    fallback: Escaper,
  ) {
    this.name = config.name;
    this.#tables = tables;
    this.#global = tables.get('') ?? new HostRules();
    this.#next = next;
    this.#fallback = fallback;
    this.#rules = config.rules;
  }

  connect(target: Target, session: Session, purpose: 'tunnel' | 'forward', fresh?: boolean): Egress | Promise<Egress> {
    return this.#choose(target, session.tenant).connect(target, session, purpose, fresh);
  }

  #choose(target: Target, tenant: string): Escaper {
    const { host, literal } = target;
    const own = this.#tables.size < 2 ? undefined : this.#tables.get(tenant);
    const rule =
      own?.find(host, literal) ??
      this.#global.find(host, literal) ??
      // A NAT64 address is the same host as the IPv4 address in it, and goes the same way.
      own?.findEmbedded(target, nat64Ipv4) ??
      this.#global.findEmbedded(target, nat64Ipv4);
    return rule === undefined ? this.#fallback : this.#next[rule]!;
  }

  explain(): string {
    return `Chooses the next escaper by host with ${patternCount(this.#rules)} patterns; ${this.#fallback.name} takes the rest.`;
  }
}

export const routeUpstream = defineEscaper({
  type: 'route_upstream',
  description:
    'Chooses the next escaper by the requested host: tenant-specific rules first, then the others; within them exact ' +
    'names, then the longest domain, then the longest subnet, then regular expressions in order',
  config: {
    rules: z.array(Rule).default([]).describe('Rules; their order matters only between regular expressions'),
    fallback_next: Name.describe('Escaper for what no rule matches'),
  },
  examples: [
    { name: 'router', type: 'route_upstream', fallback_next: 'direct' },
    {
      name: 'router-rules',
      type: 'route_upstream',
      rules: [
        { exact_match: 'internal.example.com', next: 'direct' },
        { child_match: ['blocked.example.com', '*.ads.example'], next: 'deny' },
        { subnet_match: '198.51.100.0/24', next: 'direct' },
        { regex_match: '\\.malicious\\.', next: 'deny' },
        { exact_match: 'partner.example', next: 'parent', tenant_specific: 'acme' },
      ],
      fallback_next: 'parent',
    },
  ],
  refs: (config) => [
    ...config.rules.map(
      (rule, i): Ref => ({
        family: 'escapers',
        name: rule.next,
        pointer: pointer('rules', i, 'next'),
      }),
    ),
    { family: 'escapers', name: config.fallback_next, pointer: '/fallback_next' },
  ],
  *check(config, { tenant, made }): Generator<Fault | undefined> {
    const tables: RuleTables = new Map();
    yield* checkRules(config.rules, (rule) => rule.next, scopeOf, tables);
    made?.set(config.rules, tables);
    for (const [i, rule] of config.rules.entries()) {
      if (rule.tenant_specific !== undefined && rule.tenant_specific !== tenant) {
        yield {
          pointer: pointer('rules', i, 'tenant_specific'),
          code: 'foreign_tenant',
          message: `in the config of ${tenant} a rule for another tenant never applies: its sessions are all of ${tenant}`,
        };
      }
    }
  },
  *create(config, ctx): Generator<void, Escaper> {
    const tables = (ctx.made?.get(config.rules) as RuleTables | undefined) ?? (yield* tablesOf(config.rules, scopeOf));
    for (const table of tables.values()) yield* table.settle((rule) => rule);
    const next: Escaper[] = [];
    for (const rule of config.rules) {
      next.push(ctx.get('escapers', rule.next));
      if (next.length % PAUSE === 0) yield;
    }
    return new RouteUpstream(config, tables, next, ctx.get('escapers', config.fallback_next));
  },
});
