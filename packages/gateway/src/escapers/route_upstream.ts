import { z } from 'zod';
import { type Fault, pointer } from '../fault.ts';
import { defineEscaper, type Egress, type Escaper, Name, type Ref, type Target } from '../kind.ts';
import { checkRules, HostRules, hostMatchers, PAUSE, patternsOf, subnetMatcher } from '../match/rules.ts';
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
    .describe('Only for sessions of this tenant, and before all rules without it'),
});

const GLOBAL_TENANT = '_global';

class RouteUpstream implements Escaper {
  readonly name: string;
  readonly type = 'route_upstream';
  readonly #tenants: ReadonlyMap<string, HostRules<Escaper>>;
  readonly #global: HostRules<Escaper>;
  readonly #fallback: Escaper;
  readonly #patterns: number;

  constructor(
    name: string,
    tenants: ReadonlyMap<string, HostRules<Escaper>>,
    global: HostRules<Escaper>,
    fallback: Escaper,
    patterns: number,
  ) {
    this.name = name;
    this.#tenants = tenants;
    this.#global = global;
    this.#fallback = fallback;
    this.#patterns = patterns;
  }

  connect(target: Target, session: Session, purpose: 'tunnel' | 'forward', fresh?: boolean): Egress | Promise<Egress> {
    return this.#choose(target, session.tenant).connect(target, session, purpose, fresh);
  }

  #choose({ host, literal }: Target, tenant: string): Escaper {
    const own = this.#tenants.size === 0 ? undefined : this.#tenants.get(tenant)?.find(host, literal);
    return own ?? this.#global.find(host, literal) ?? this.#fallback;
  }

  explain(): string {
    return `Chooses the next escaper by host with ${this.#patterns} patterns; ${this.#fallback.name} takes the rest.`;
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
  *check(config, { tenant }): Generator<Fault | undefined> {
    yield* checkRules(
      config.rules,
      (rule) => rule.next,
      (rule) => rule.tenant_specific ?? '',
    );
    if (tenant === GLOBAL_TENANT) return;
    for (const [i, rule] of config.rules.entries()) {
      if (rule.tenant_specific !== undefined && rule.tenant_specific !== tenant) {
        yield {
          pointer: pointer('rules', i, 'tenant_specific'),
          code: 'foreign_tenant',
          message: `in the config of ${tenant} a rule for another tenant never applies`,
        };
      }
    }
  },
  *create(config, ctx): Generator<void, Escaper> {
    const tenants = new Map<string, HostRules<Escaper>>();
    const global = new HostRules<Escaper>();
    let patterns = 0;
    for (const rule of config.rules) {
      const next = ctx.get('escapers', rule.next);
      let rules = global;
      if (rule.tenant_specific !== undefined) {
        rules = tenants.get(rule.tenant_specific) ?? new HostRules();
        tenants.set(rule.tenant_specific, rules);
      }
      for (const { matcher, text } of patternsOf(rule)) {
        rules.add(matcher, text, next);
        if (++patterns % PAUSE === 0) yield;
      }
    }
    return new RouteUpstream(config.name, tenants, global, ctx.get('escapers', config.fallback_next), patterns);
  },
});
