/**
 * The contracts. A kind is a value: schema + behaviour of one type within a family, one file. The list in
 * `<family>/kinds.ts` is all that knows which kinds exist.
 */

import { z } from 'zod';
import type { Fault } from './fault.ts';
import type { AnswerHeads } from './http/answer-heads.ts';
import type { ResourceLimits } from './limits.ts';
import type { Services } from './services.ts';
import type { Session } from './session.ts';
import type { ByteStream } from './stream.ts';

export const families = ['servers', 'escapers', 'resolvers', 'user_groups', 'auditors', 'policies'] as const;
export type Family = (typeof families)[number];

/** A name of a config object. */
export const Name = z
  .string()
  .regex(
    /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/,
    'must be 1 to 63 letters, digits, "_", "." or "-", the first a letter or digit',
  )
  .describe('Name, unique within its family of the tenant');

/** A pointer from one config object to another. `pointer` is relative to the object that holds it. */
export interface Ref {
  family: Family;
  name: string;
  pointer: string;
}

/** What a kind may use while it builds its live object. It must not listen, dial, or start timers there. */
export interface BuildContext {
  readonly tenant: string;
  readonly services: Services;
  /** A live object of this graph, already built. Throws if the name was not declared in `refs`. */
  get<F extends Family>(family: F, name: string): LiveOf[F];
  /**
   * The object of this family, type and name in the graph that is replaced: a kind may take over what it has warmed
   * up (verified logins). Undefined at the first compile.
   */
  previous(): LiveObject | undefined;
  /** What the `check` of this compile has made on the way. */
  readonly made?: Made;
  /** All policies of the tenant, enabled ones only, in the order they apply. For servers only: they are never reused. */
  readonly policies: readonly Policy[];
  /**
   * The clear text of a `secret()` field. Throws when it cannot be unsealed. `place` is `<family>/<name>/<field>`. A
   * live object may keep this function, and nothing else of the context: that would keep its whole graph in memory.
   */
  readonly unseal: (value: string, place: string) => string;
}

/** Anything a graph holds. `close` frees what it owns (idle upstream connections, timers) once no session uses it. */
export interface LiveObject {
  readonly name: string;
  readonly type: string;
  /** One plain sentence: what does this object do? */
  explain?(): string;
  close?(): void;
}

export interface Target {
  /** Lower case, no brackets, no trailing dot, an IP address in one spelling: what policy saw is what is dialled. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
  /** True when `host` is an IP literal. */
  readonly literal: boolean;
  /** `host:port`, brackets around IPv6. */
  readonly key: string;
}

/** The way to the next hop, open and ready. */
export interface Egress {
  readonly stream: ByteStream;
  /** Name of the leaf escaper that opened it. */
  readonly escaper: string;
  /** How a forward request must be written to it: RFC 9112 section 3.2. */
  readonly form: 'origin' | 'absolute';
  /** Header lines to add to each forward request, each ending in CRLF (credentials for a next proxy), or ''. */
  readonly headers: string;
  /** Reads what it answers to forward requests. */
  readonly answers: AnswerHeads;
  /** Has it carried a request before? Then it may have died unnoticed and an idempotent request may be retried. */
  readonly reused: boolean;
  /** Address dialled, `ip:port`, for the log. */
  readonly peer: string;
  /**
   * Hands the connection back after a forward request: kept for reuse if `reusable`, else destroyed. `openMs`: the peer
   * has said that it closes the connection when it was idle for so long.
   */
  release(reusable: boolean, openMs?: number): void;
}

export interface Escaper extends LiveObject {
  /**
   * Opens the way to `target`: for a tunnel bytes go end to end, for `forward` a connection that carries HTTP
   * requests. Answers at once (no promise) when a pooled connection is at hand: the hot path. Else it stops, and frees
   * what it has opened, when `session.signal` aborts.
   * Fails with GatewayError: egress_denied, escaper_denied, dns_failed, connect_failed, connect_timeout, …
   */
  connect(target: Target, session: Session, purpose: 'tunnel' | 'forward', fresh?: boolean): Egress | Promise<Egress>;
}

export interface Resolver extends LiveObject {
  /** IP addresses of `host`, in the order to try; never empty: fails with GatewayError dns_failed. */
  resolve(host: string, strategy: ResolveStrategy): Promise<readonly string[]>;
}
export type ResolveStrategy = 'Ipv4First' | 'Ipv6First' | 'Ipv4Only' | 'Ipv6Only';

export interface User {
  readonly name: string;
  readonly group: string;
  readonly blocked: boolean;
  /** Undefined: any port. */
  readonly ports: ReadonlySet<number> | undefined;
  /** Sessions per second; undefined: any number. */
  readonly requestRateLimit: number | undefined;
  /** Null when the user may go to `host`, else why not. */
  denies(host: string): string | null;
}

export interface UserGroup extends LiveObject {
  /**
   * The user these credentials prove, or null. Answers at once when the result is cached: a slow hash costs once.
   * `credentials` is the base64 text of RFC 7617 Basic.
   */
  authenticate(credentials: string): User | null | Promise<User | null>;
}

export interface Verdict {
  readonly action: 'block' | 'redirect';
  readonly policy: string;
  /** The rule that matched, as the config spells it. */
  readonly rule: string;
  readonly reason: string;
  /** For redirect: absolute URL. */
  readonly location: string;
}

export interface Policy extends LiveObject {
  /** Lower first. */
  readonly priority: number;
  /** Null when this policy has no objection; all policies must have none. */
  check(session: Session): Verdict | null;
}

export interface Inspection {
  /** What the first bytes look like: tls, http, ssh, … or unknown. */
  readonly protocol: string;
  readonly server_name?: string;
  /** Set when the tunnel must not go on. */
  readonly deny?: string;
  /** Too few bytes to be sure: who can should ask again with more of them, and only then heed `deny`. */
  readonly more?: boolean;
}

export interface Auditor extends LiveObject {
  /** Looks at the first bytes that the client sends through a tunnel. */
  inspectTunnel(first: Uint8Array, session: Session): Inspection;
}

/** Where a server listens; `host` is an IP literal. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** A bound socket's view of the config: outlives graphs; `server` changes when a release is swapped in. */
export interface Binding {
  readonly address: string;
  /** Null when no release uses this address any more: finish what runs, take nothing new. */
  server: Server | null;
  /** Connections that were accepted here and still live. */
  readonly open: Set<OpenConnection>;
  /** Set where several processes listen on this address together. */
  readonly share?: ClientShare;
}

/** What the processes of a worker tell each other of the clients of one address, so that a limit holds for all of them. */
export interface ClientShare {
  /** Connections of a client at the other processes, as last heard. */
  elsewhere(client: string): number;
  /** A client has `open` connections here now, of the `limit` it may have in all. Costs little, waits for nothing. */
  changed(client: string, open: number, limit: number): void;
}

/** A connection as its listener sees it. */
export interface OpenConnection {
  /**
   * Ends as soon as nothing runs on it; a tunnel goes on. `patient`: unless the client knows already that it ends, one
   * request more is taken, and its answer tells.
   */
  drain(patient?: boolean): void;
  /** Ends now. */
  destroy(): void;
}

export interface Server extends LiveObject {
  readonly listen: ListenAddress;
  /** Set once by compile: the graph this server belongs to. */
  graph: GraphHandle;
  /** Takes over an accepted connection and serves sessions on it until it ends. */
  serve(stream: ByteStream, binding: Binding): void;
}

/** What a session holds of its graph: it is captured once, and given back when the session ends. */
export interface GraphHandle {
  readonly tenant: string;
  readonly version: number;
  readonly status: 'active' | 'inactive' | 'suspended';
  /** Of the tenant as a whole. */
  readonly limits: ResourceLimits;
  retain(): void;
  release(): void;
}

export interface LiveOf {
  servers: Server;
  escapers: Escaper;
  resolvers: Resolver;
  user_groups: UserGroup;
  auditors: Auditor;
  policies: Policy;
}

export interface Kind<F extends Family = Family, C extends z.ZodType = z.ZodType> {
  readonly family: F;
  readonly type: string;
  readonly description: string;
  /** The whole object, `name` and `type` included: a z.strictObject. */
  readonly config: C;
  readonly examples: readonly z.input<C>[];
  /** Which other objects this one names. */
  refs?(config: z.output<C>): readonly Ref[];
  /** Faults that a schema cannot say; pointers relative to the object. */
  check?(config: z.output<C>, ctx: CheckContext): Sliced<Fault>;
  /** A kind that may hold very long lists writes this as a generator. */
  create(config: z.output<C>, ctx: BuildContext): LiveOf[F] | Generator<void, LiveOf[F]>;
  /**
   * What is kept of the config once `live` is built from it: the same, or a copy with what `live` holds anyway in a
   * form of its own in place of long lists. Only `check` and `create` of this kind ever look into that. Whoever parses
   * the section anew builds such an object anew, so it should have nothing that is warm.
   */
  kept?(config: z.output<C>, live: LiveOf[F]): z.output<C>;
}

export interface CheckContext {
  readonly tenant: string;
  /** Set where `create` follows: what was made on the way need not be made twice. */
  readonly made?: Made | undefined;
  /**
   * The object of this family, type and name in the graph that is replaced: what of its config is the same, the very
   * same objects, has passed this check.
   */
  readonly previous?: LiveObject | undefined;
}

/** Of one compile: what a kind's `check` leaves for its `create`, by what it was made from. It may be missing. */
export type Made = Map<object, unknown>;

/** Values in order; a generator may yield undefined in between as a place where others may run. */
export type Sliced<T> = Iterable<T | undefined>;

type Shape = Record<string, z.ZodType>;
type Common = { name: typeof Name; enabled: z.ZodDefault<z.ZodBoolean> };

interface Definition<F extends Family, T extends string, S extends Shape> {
  type: T;
  description: string;
  /** The fields beside `name`, `type` and `enabled`. */
  config: S;
  examples: readonly z.input<z.ZodObject<Common & { type: z.ZodLiteral<T> } & S, z.core.$strict>>[];
  refs?(config: z.output<z.ZodObject<Common & { type: z.ZodLiteral<T> } & S>>): readonly Ref[];
  check?(config: z.output<z.ZodObject<Common & { type: z.ZodLiteral<T> } & S>>, ctx: CheckContext): Sliced<Fault>;
  create(
    config: z.output<z.ZodObject<Common & { type: z.ZodLiteral<T> } & S>>,
    ctx: BuildContext,
  ): LiveOf[F] | Generator<void, LiveOf[F]>;
  kept?(
    config: z.output<z.ZodObject<Common & { type: z.ZodLiteral<T> } & S>>,
    live: LiveOf[F],
  ): z.output<z.ZodObject<Common & { type: z.ZodLiteral<T> } & S>>;
}

function definer<F extends Family>(family: F) {
  return <const T extends string, S extends Shape>(d: Definition<F, T, S>) => {
    const config = z
      .strictObject({
        name: Name,
        type: z.literal(d.type).describe(d.description),
        enabled: z.boolean().default(true).describe('A disabled object is kept and not used'),
        ...d.config,
      })
      .meta({ id: pascal(family, d.type), description: d.description });
    return { ...d, family, config } as unknown as Kind<F> & { readonly type: T; readonly config: typeof config };
  };
}

/** `('escapers', 'direct_fixed')` -> `DirectFixedEscaper`: the schema's name in OpenAPI. */
function pascal(family: Family, type: string): string {
  const one = {
    servers: 'server',
    escapers: 'escaper',
    resolvers: 'resolver',
    user_groups: 'user_group',
    auditors: 'auditor',
    policies: 'policy',
  };
  return `${type}_${one[family]}`.replace(/(^|_)([a-z0-9])/g, (_, __, c: string) => c.toUpperCase());
}

export const defineServer = definer('servers');
export const defineEscaper = definer('escapers');
export const defineResolver = definer('resolvers');
export const defineUserGroup = definer('user_groups');
export const defineAuditor = definer('auditors');
export const definePolicy = definer('policies');

/** A string that is sealed before it is stored (AES-256-GCM) and unsealed only in a worker's memory. */
export const secret = (description: string) => z.string().min(1).max(8192).meta({ description, secret: true });

/** A string that a document may bring and that is never stored: the API turns it into something else on write. */
export const writeOnly = (description: string) => z.string().min(1).max(1024).meta({ description, writeOnly: true });
