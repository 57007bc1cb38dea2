import { isIPv6 } from 'node:net';
import { z } from 'zod';
import { GatewayError } from '../errors.ts';
import { type BuildContext, Name, type Ref, type Resolver, type ResolveStrategy } from '../kind.ts';
import { parseIp } from '../match/ip.ts';
import { meaning } from '../refine.ts';
import { systemResolverOf } from '../resolvers/system.ts';
import type { ByteStream } from '../stream.ts';
import { dial, MAX_ATTEMPTS } from '../upstream/dial.ts';
import { poolConfig } from '../upstream/pool.ts';
import { EgressGuard, egressAllow } from './guard.ts';

const IpText = meaning(z.string().min(2).max(45), 'bad_ip', (ip) =>
  parseIp(ip) === null ? `"${ip}" is not an IP address` : null,
);

/** Fields of every escaper that opens connections itself. */
export const dialFields = {
  resolver: Name.optional().describe(
    'Resolver for names; without it the operating system is asked, and all such escapers share one cache',
  ),
  resolve_strategy: z
    .enum(['Ipv4First', 'Ipv6First', 'Ipv4Only', 'Ipv6Only'])
    .default('Ipv4First')
    .describe(
      'Which of the addresses of a name are used, and which IP version goes first; the versions take turns (RFC 8305), ' +
        `at most ${MAX_ATTEMPTS} addresses are tried`,
    ),
  bind_ip: z
    .union([IpText, z.array(IpText).min(1).max(256)])
    .optional()
    .describe('Local IP addresses to connect from, used in turn; only addresses of their IP versions are dialled'),
  egress_allow: egressAllow,
  connect_timeout_ms: z.int().min(100).max(120_000).default(10_000).describe('Longest wait for a connection, ms'),
  pool: poolConfig,
};

export interface DialConfig {
  readonly name: string;
  readonly resolver?: string | undefined;
  readonly resolve_strategy: ResolveStrategy;
  readonly bind_ip?: string | readonly string[] | undefined;
  readonly egress_allow: z.output<typeof egressAllow>;
  readonly connect_timeout_ms: number;
}

export const dialRefs = (config: DialConfig): Ref[] =>
  config.resolver === undefined ? [] : [{ family: 'resolvers', name: config.resolver, pointer: '/resolver' }];

const listOf = (value: string | readonly string[] | undefined): readonly string[] =>
  value === undefined ? [] : typeof value === 'string' ? [value] : value;

/** Resolves, guards, dials: the one way from a name to a connection. */
export class Dialer {
  readonly guard: EgressGuard;
  readonly #resolver: Resolver;
  readonly #config: DialConfig;
  readonly #bind4: readonly string[];
  readonly #bind6: readonly string[];
  #turn = 0;

  constructor(config: DialConfig, ctx: BuildContext) {
    this.#config = config;
    this.guard = new EgressGuard(config.egress_allow);
    this.#resolver = config.resolver
      ? ctx.get('resolvers', config.resolver)
      : systemResolverOf(ctx.tenant, ctx.services);
    this.#bind4 = listOf(config.bind_ip).filter((ip) => !isIPv6(ip));
    this.#bind6 = listOf(config.bind_ip).filter((ip) => isIPv6(ip));
  }

  /**
   * An open connection to `host`, a name or an IP address. Only addresses that the guard lets through are dialled,
   * and they are the ones it saw: there is no second resolution. connect_timeout_ms is for the dialling alone.
   * `signal`: nobody wants the connection any more.
   */
  async connect(host: string, port: number, signal: AbortSignal): Promise<ByteStream> {
    const resolved = parseIp(host) === null && !host.includes(':') ? await this.#resolve(host) : [host];
    const allowed = this.guard.filter(resolved, port);
    if (allowed.length === 0) {
      const why = resolved.map((address) => this.guard.explain(address, port)).join(', ');
      throw new GatewayError('egress_denied', resolved[0] === host ? why : `${host}: ${why}`);
    }
    const options = { timeoutMs: this.#config.connect_timeout_ms, signal };
    if (this.#bind4.length === 0 && this.#bind6.length === 0) return dial(allowed, port, options);
    // A local address serves one IP version.
    const turn = this.#turn++;
    const bind4 = this.#bind4[turn % this.#bind4.length];
    const bind6 = this.#bind6[turn % this.#bind6.length];
    const usable = allowed.filter((address) => (isIPv6(address) ? bind6 : bind4) !== undefined);
    if (usable.length === 0) {
      throw new GatewayError('connect_failed', 'no address of an IP version that bind_ip has');
    }
    return dial(usable, port, { ...options, bind4, bind6 });
  }

  #resolve(host: string): Promise<readonly string[]> {
    return this.#resolver.resolve(host, this.#config.resolve_strategy);
  }
}

/** `ip:port`, with brackets around IPv6. */
export const peerOf = (stream: { remoteAddress: string; remotePort: number }): string =>
  stream.remoteAddress.includes(':')
    ? `[${stream.remoteAddress}]:${stream.remotePort}`
    : `${stream.remoteAddress}:${stream.remotePort}`;
