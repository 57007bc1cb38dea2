import { lookup as systemLookup } from 'node:dns';
import { z } from 'zod';
import { defineResolver, type Resolver, type ResolveStrategy } from '../kind.ts';
import type { Services } from '../services.ts';
import { AddressCache, type CacheSettings, type Lookup, MAX_NAMES } from './cache.ts';

const fields = {
  positive_ttl_ms: z.int().min(0).max(3_600_000).default(30_000).describe('Addresses are kept for this time, ms'),
  negative_ttl_ms: z.int().min(0).max(600_000).default(5_000).describe('A failure is kept for this time, ms'),
  max_entries: z
    .int()
    .min(1)
    .max(MAX_NAMES)
    .default(10_000)
    .describe(`Names kept at most; all resolvers of a tenant that are enabled keep at most ${MAX_NAMES} together`),
  timeout_ms: z.int().min(100).max(60_000).default(10_000).describe('Longest wait for an answer, ms'),
};
const defaults: CacheSettings = z.strictObject(fields).parse({});

/** getaddrinfo: `/etc/hosts`, then the name servers of the machine. */
const getaddrinfo: Lookup = (host) =>
  new Promise((resolve, reject) => {
    systemLookup(host, { all: true, order: 'verbatim' }, (error, addresses) =>
      error ? reject(error) : resolve(addresses.map((a) => a.address)),
    );
  });

export class SystemResolver implements Resolver {
  readonly name: string;
  readonly type = 'system';
  readonly #cache: AddressCache;

  constructor(name: string, now: () => number, settings: CacheSettings = defaults, lookup: Lookup = getaddrinfo) {
    this.name = name;
    this.#cache = new AddressCache(lookup, settings, now);
  }

  resolve(host: string, strategy: ResolveStrategy): Promise<readonly string[]> {
    return this.#cache.resolve(host, strategy);
  }

  explain(): string {
    return 'Asks the operating system for addresses and keeps the answers for a short time.';
  }
}

const shared = new WeakMap<Services, Map<string, WeakRef<SystemResolver>>>();
const unused = new FinalizationRegistry<() => void>((forget) => forget());

/**
 * For all escapers of a tenant that name no resolver, of all its graphs: a cache for each would be as many names more
 * that one tenant keeps. It is there for as long as one of them is.
 */
export function systemResolverOf(tenant: string, services: Services): Resolver {
  let tenants = shared.get(services);
  if (!tenants) {
    tenants = new Map();
    shared.set(services, tenants);
  }
  let resolver = tenants.get(tenant)?.deref();
  if (!resolver) {
    const all = tenants;
    resolver = new SystemResolver('system', services.now);
    all.set(tenant, new WeakRef(resolver));
    unused.register(resolver, () => {
      if (!all.get(tenant)?.deref()) all.delete(tenant);
    });
  }
  return resolver;
}

export const system = defineResolver({
  type: 'system',
  description: 'The resolver of the operating system (getaddrinfo), with a small cache of its own',
  config: fields,
  examples: [
    { name: 'dns', type: 'system' },
    {
      name: 'dns-fresh',
      type: 'system',
      positive_ttl_ms: 1000,
      negative_ttl_ms: 0,
      max_entries: 100,
      timeout_ms: 2000,
    },
  ],
  create: (config, ctx) => new SystemResolver(config.name, ctx.services.now, config),
});
