import { lookup as systemLookup } from 'node:dns';
import { z } from 'zod';
import { defineResolver, type Resolver, type ResolveStrategy } from '../kind.ts';
import { AddressCache, type CacheSettings, type Lookup } from './cache.ts';

const fields = {
  positive_ttl_ms: z.int().min(0).max(3_600_000).default(30_000).describe('Addresses are kept for this time, ms'),
  negative_ttl_ms: z.int().min(0).max(600_000).default(5_000).describe('A failure is kept for this time, ms'),
  max_entries: z.int().min(1).max(1_000_000).default(10_000).describe('Names kept at most'),
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
