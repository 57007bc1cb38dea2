import { type BuildContext, defineEscaper, type Egress, type Escaper, type Target } from '../kind.ts';
import type { Session } from '../session.ts';
import { type PoolSettings, tunnelEgress, UpstreamPool } from '../upstream/pool.ts';
import { type DialConfig, Dialer, dialFields, dialRefs, peerOf } from './dialer.ts';

class DirectFixed implements Escaper {
  readonly name: string;
  readonly type = 'direct_fixed';
  readonly #dialer: Dialer;
  readonly #pool: UpstreamPool;
  readonly #config: DialConfig;

  constructor(config: DialConfig & { pool: PoolSettings }, ctx: BuildContext) {
    this.name = config.name;
    this.#config = config;
    this.#dialer = new Dialer(config, ctx);
    this.#pool = new UpstreamPool(config.pool, ctx.services.wheel);
  }

  connect(target: Target, session: Session, purpose: 'tunnel' | 'forward', fresh = false): Egress | Promise<Egress> {
    if (purpose === 'tunnel') return this.#tunnel(target, session);
    return (fresh ? null : this.#pool.take(target.key)) ?? this.#forward(target, session);
  }

  async #tunnel(target: Target, { signal }: Session): Promise<Egress> {
    const stream = await this.#dialer.connect(target.host, target.port, signal);
    return tunnelEgress(stream, this.name, peerOf(stream));
  }

  async #forward(target: Target, { signal }: Session): Promise<Egress> {
    const stream = await this.#dialer.connect(target.host, target.port, signal);
    return this.#pool.egress(stream, target.key, {
      escaper: this.name,
      form: 'origin',
      headers: '',
      peer: peerOf(stream),
    });
  }

  explain(): string {
    const { resolver, resolve_strategy, bind_ip, egress_allow } = this.#config;
    const from = bind_ip === undefined ? '' : ` from ${[bind_ip].flat().join(', ')}`;
    const opened = egress_allow.map((e) => e.network + (e.ports ? ` port ${e.ports.join(', ')}` : ''));
    const guard = opened.length > 0 ? `public addresses and ${opened.join('; ')}` : 'public addresses only';
    return `Connects to the site itself${from}, ${guard}; names by ${resolver ?? 'the system'}, ${resolve_strategy}.`;
  }

  close(): void {
    this.#pool.close();
  }
}

export const directFixed = defineEscaper({
  type: 'direct_fixed',
  description: 'Connects to the requested site itself; the egress guard refuses addresses that are not public',
  config: dialFields,
  examples: [
    { name: 'direct', type: 'direct_fixed' },
    {
      name: 'direct-lab',
      type: 'direct_fixed',
      resolver: 'dns',
      resolve_strategy: 'Ipv6First',
      bind_ip: ['192.0.2.10', '2001:db8::10'],
      egress_allow: [{ network: '10.20.0.0/16' }, { network: '127.0.0.1', ports: [7700] }],
      connect_timeout_ms: 5000,
      pool: { max_idle_per_origin: 8, idle_timeout_ms: 30_000 },
    },
  ],
  refs: dialRefs,
  create: (config, ctx) => new DirectFixed(config, ctx),
});
