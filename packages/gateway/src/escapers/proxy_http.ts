import { type Authority, parseAuthority } from '@arcus/protocol/http1/target.ts';
import { z } from 'zod';
import { GatewayError } from '../errors.ts';
import type { Fault } from '../fault.ts';
import { type BuildContext, defineEscaper, type Egress, type Escaper, secret, type Target } from '../kind.ts';
import { meaning } from '../refine.ts';
import type { Session } from '../session.ts';
import type { ByteStream } from '../stream.ts';
import { type PoolSettings, tunnelEgress, UpstreamPool } from '../upstream/pool.ts';
import { openTunnel } from './connect_reply.ts';
import { type DialConfig, Dialer, dialFields, dialRefs, peerOf } from './dialer.ts';

/** `host:port` of the next proxy; null when it is none. */
function parseProxy(text: string): Authority | null {
  const authority = parseAuthority(text, 0);
  return 'port' in authority ? authority : null;
}

interface Config extends DialConfig {
  readonly proxy_addr: string;
  readonly proxy_username?: string | undefined;
  readonly proxy_password?: string | undefined;
  readonly pool: PoolSettings;
}

/** All forward requests share one pool: a connection to the next proxy carries requests for any site. */
const POOL_KEY = 'proxy';

class ProxyHttp implements Escaper {
  readonly name: string;
  readonly type = 'proxy_http';
  readonly #proxy: Authority;
  readonly #dialer: Dialer;
  readonly #pool: UpstreamPool;
  /** Proxy-Authorization line with its CRLF, or ''. Never logged. */
  readonly #credentials: string;
  readonly #timeoutMs: number;

  constructor(config: Config, proxy: Authority, ctx: BuildContext) {
    this.name = config.name;
    this.#proxy = proxy;
    this.#dialer = new Dialer(config, ctx);
    this.#pool = new UpstreamPool(config.pool, ctx.services.wheel);
    this.#timeoutMs = config.connect_timeout_ms;
    const { proxy_username: user, proxy_password: sealed } = config;
    const password = sealed === undefined ? '' : ctx.unseal(sealed, `escapers/${config.name}/proxy_password`);
    this.#credentials =
      user === undefined
        ? ''
        : `Proxy-Authorization: Basic ${Buffer.from(`${user}:${password}`, 'utf8').toString('base64')}\r\n`;
  }

  connect(target: Target, session: Session, purpose: 'tunnel' | 'forward', fresh = false): Egress | Promise<Egress> {
    // A name is resolved by the next proxy; an address in the request is looked at here.
    const { guard } = this.#dialer;
    if (target.literal && guard.refuses(target.host, target.port) !== null) {
      return Promise.reject(new GatewayError('egress_denied', guard.explain(target.host, target.port)));
    }
    if (purpose === 'tunnel') return this.#tunnel(target, session);
    return (fresh ? null : this.#pool.take(POOL_KEY)) ?? this.#forward(session);
  }

  #dial(signal: AbortSignal): Promise<ByteStream> {
    return this.#dialer.connect(this.#proxy.host, this.#proxy.port, signal);
  }

  async #forward({ signal }: Session): Promise<Egress> {
    const stream = await this.#dial(signal);
    const info = { escaper: this.name, form: 'absolute', headers: this.#credentials, peer: peerOf(stream) } as const;
    return this.#pool.egress(stream, POOL_KEY, info);
  }

  async #tunnel(target: Target, { via, signal }: Session): Promise<Egress> {
    const start = performance.now();
    const stream = await this.#dial(signal);
    const authority = `${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`;
    // Via: a chain of proxies that leads back here is found by its second CONNECT.
    const head = `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\nVia: ${via}\r\n${this.#credentials}\r\n`;
    const left = Math.max(1, this.#timeoutMs - (performance.now() - start));
    return tunnelEgress(await openTunnel(stream, head, left, signal), this.name, peerOf(stream));
  }

  explain(): string {
    const as = this.#credentials === '' ? '' : ', with credentials';
    return `Goes through the HTTP proxy at ${this.#proxy.host} port ${this.#proxy.port}${as}.`;
  }

  close(): void {
    this.#pool.close();
  }
}

export const proxyHttp = defineEscaper({
  type: 'proxy_http',
  description:
    'Goes through a next HTTP proxy: CONNECT for tunnels, absolute-form requests otherwise. The egress guard looks ' +
    "at the next proxy's address and at targets that are IP addresses; names are resolved by the next proxy",
  config: {
    ...dialFields,
    proxy_addr: meaning(z.string().min(3).max(262), 'bad_address', (text) =>
      parseProxy(text) === null ? 'must be host:port, such as proxy.example:3128' : null,
    ).describe('Host and port of the next proxy, such as proxy.example:3128'),
    proxy_username: z
      .string()
      .min(1)
      .max(255)
      .regex(/^[^:\p{Cc}]*$/u, 'must not contain ":" or control characters (RFC 7617)')
      .optional()
      .describe('User name for the next proxy (Basic, RFC 7617)'),
    proxy_password: secret('Password for the next proxy').optional(),
  },
  examples: [
    { name: 'parent', type: 'proxy_http', proxy_addr: 'proxy.example:3128' },
    {
      name: 'parent-auth',
      type: 'proxy_http',
      proxy_addr: '10.0.0.5:8080',
      proxy_username: 'arcus',
      proxy_password: 'not-a-real-one',
      egress_allow: [{ network: '10.0.0.5', ports: [8080] }],
    },
  ],
  refs: dialRefs,
  *check(config): Generator<Fault> {
    if (config.proxy_password !== undefined && config.proxy_username === undefined) {
      yield { pointer: '/proxy_password', code: 'incomplete', message: 'a password needs proxy_username too' };
    }
  },
  create(config, ctx) {
    const proxy = parseProxy(config.proxy_addr);
    if (proxy === null) throw new Error('proxy_addr is not host:port');
    return new ProxyHttp(config, proxy, ctx);
  },
});
