/**
 * A session: one forward request or tunnel going through the pipeline. It captures its graph once, at the start.
 *
 *   tenant -> limits -> auth -> policy -> route -> (audit) -> relay -> record
 *
 * Each step answers at once or with a promise; a session that waits for nothing makes none.
 */
import type { ErrorCode } from './errors.ts';
import { errorTable, GatewayError } from './errors.ts';
import type { Auditor, Egress, Escaper, GraphHandle, Policy, Target, User, UserGroup, Verdict } from './kind.ts';
import type { TenantUse } from './limits.ts';
import type { Services } from './services.ts';
import type { Counters } from './stats.ts';

/** What kinds may know of the session that goes through the pipeline. */
export interface Session {
  readonly tenant: string;
  readonly version: number;
  readonly server: string;
  /** The client's IP address, IPv4-mapped IPv6 written as IPv4. */
  readonly client: string;
  readonly purpose: 'forward' | 'tunnel';
  readonly method: string;
  readonly target: Target;
  /** Path and query of a forward request, '' for a tunnel. */
  readonly path: string;
  /** For a tunnel: the Via of a CONNECT that asks a next proxy for it (RFC 9110 section 7.6.3); '' for a forward request. */
  readonly via: string;
  /** '' while unknown or when the server asks for none. */
  user: string;
  user_group: string;
  /** ms since the epoch. */
  readonly started: number;
  /** Aborted when the session ends before its way out is open: who opens one need not go on. */
  readonly signal: AbortSignal;
}

/** One line of the decision log: what was asked, what was decided and by which rule, what it cost. */
export interface Decision {
  readonly time: number;
  readonly tenant: string;
  readonly version: number;
  readonly server: string;
  readonly user: string;
  readonly client: string;
  readonly method: string;
  /** host:port */
  readonly target: string;
  /** Path without its query: queries carry secrets. */
  readonly path: string;
  readonly escaper: string;
  readonly peer: string;
  readonly action: 'allow' | 'block' | 'redirect' | 'error';
  readonly code: ErrorCode | '';
  /** `<policy>: <rule>` that decided, '' when none did. */
  readonly rule: string;
  readonly reason: string;
  /** HTTP status that the client got, 0 when none was sent. */
  readonly status: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly ms: number;
  /** What an auditor saw in a tunnel, '' otherwise. */
  readonly protocol: string;
}

/** What a server of some kind lends to the sessions it serves; belongs to one graph. */
export interface ServerContext {
  readonly name: string;
  readonly graph: GraphHandle;
  readonly services: Services;
  /** What the tenant uses of its limits. */
  readonly use: TenantUse;
  readonly escaper: Escaper;
  readonly userGroup: UserGroup | null;
  readonly auditor: Auditor | null;
  readonly policies: readonly Policy[];
  /** Ports that CONNECT may name. */
  readonly connectPorts: ReadonlySet<number>;
  /** May forward requests name this port? */
  readonly mayForwardTo: (port: number) => boolean;
  readonly counters: {
    tenant: Counters;
    server: Counters;
    escaper(name: string): Counters;
    user(name: string): Counters;
  };
}

/** Policy said no: carries the verdict for the page and the log. */
export class Denied extends GatewayError {
  readonly verdict: Verdict;
  constructor(verdict: Verdict) {
    super(verdict.action === 'redirect' ? 'policy_redirect' : 'policy_blocked', verdict.reason);
    this.verdict = verdict;
  }
}

/** A way that an earlier session of the same client left open for it alone. */
export interface HeldWay {
  /** Null when it does not fit this session. */
  take(session: Session, context: ServerContext): Egress | null;
}

export interface SessionRequest {
  purpose: 'forward' | 'tunnel';
  method: string;
  target: Target;
  /** `host:port`, for the log. */
  authority: string;
  path: string;
  /** Value of Via with this hop in it, for a tunnel; else ''. */
  via: string;
  client: string;
  /** Base64 text of Basic credentials (RFC 7617), '' when there were none. */
  credentials: string;
}

export class LiveSession implements Session {
  readonly tenant: string;
  readonly version: number;
  readonly server: string;
  readonly client: string;
  readonly purpose: 'forward' | 'tunnel';
  readonly method: string;
  readonly target: Target;
  readonly authority: string;
  readonly path: string;
  readonly via: string;
  /** '' once they were looked at: nothing keeps them longer than it must. */
  credentials: string;
  readonly started: number;
  user = '';
  user_group = '';
  escaper = '';
  peer = '';
  protocol = '';
  status = 0;
  /** From and to the client. */
  bytes_in = 0;
  bytes_out = 0;
  /** Looked at before a way is sought. */
  held: HeldWay | null = null;
  readonly context: ServerContext;
  #settledIn = 0;
  #settledOut = 0;
  #userCounters: Counters | null = null;
  #escaperCounters: Counters | null = null;
  #recorded = false;
  /** Made when somebody asks, let go when the way is open: most sessions have none. */
  #abort: AbortController | null = null;

  constructor(context: ServerContext, request: SessionRequest) {
    this.context = context;
    this.tenant = context.graph.tenant;
    this.version = context.graph.version;
    this.server = context.name;
    this.client = request.client;
    this.purpose = request.purpose;
    this.method = request.method;
    this.target = request.target;
    this.authority = request.authority;
    this.path = request.path;
    this.via = request.via;
    this.credentials = request.credentials;
    this.started = context.services.now();
    context.graph.retain();
  }

  get signal(): AbortSignal {
    if (this.#recorded) return AbortSignal.abort();
    this.#abort ??= new AbortController();
    return this.#abort.signal;
  }

  /** May this session go, and which way? Throws or rejects with GatewayError. */
  admit(): Egress | Promise<Egress> {
    this.#tenant();
    this.#limits();
    const user = this.#auth();
    return user instanceof Promise ? user.then((u) => this.#permit(u)) : this.#permit(user);
  }

  /** May a request be answered here, without going anywhere? Throws or rejects with GatewayError. */
  vet(): void | Promise<void> {
    this.#tenant();
    this.#limits();
    const user = this.#auth();
    return user instanceof Promise ? user.then((u) => this.#policy(u)) : this.#policy(user);
  }

  /** Another connection for the same session, when a reused one had died. */
  reroute(): Egress | Promise<Egress> {
    return this.#routed(this.context.escaper.connect(this.target, this, this.purpose, true));
  }

  #permit(user: User | null): Egress | Promise<Egress> {
    this.#policy(user);
    return this.#route();
  }

  #tenant(): void {
    if (this.context.graph.status === 'active') return;
    throw new GatewayError('tenant_suspended');
  }

  #limits(): void {
    const { graph, use } = this.context;
    const most = graph.limits.max_requests_per_second;
    if (most !== undefined) use.session(most);
  }

  #auth(): User | null | Promise<User | null> {
    const group = this.context.userGroup;
    if (group === null) return null;
    const credentials = this.credentials;
    this.credentials = '';
    if (credentials === '') throw new GatewayError('auth_required');
    const user = group.authenticate(credentials);
    return user instanceof Promise ? user.then((u) => this.#identified(u)) : this.#identified(user);
  }

  #identified(user: User | null): User {
    if (user === null) throw new GatewayError('auth_failed');
    this.user = user.name;
    this.user_group = user.group;
    this.#userCounters = this.context.counters.user(user.name);
    if (user.blocked) throw new GatewayError('user_blocked');
    if (user.requestRateLimit !== undefined) this.context.use.userSession(user.group, user.name, user.requestRateLimit);
    return user;
  }

  #policy(user: User | null): void {
    const { context, target } = this;
    if (this.purpose === 'tunnel') {
      if (!context.connectPorts.has(target.port))
        throw new GatewayError('port_denied', `CONNECT to port ${target.port}`);
    } else if (!context.mayForwardTo(target.port)) {
      throw new GatewayError('port_denied', `a forward request to port ${target.port}`);
    }
    for (const policy of context.policies) {
      const verdict = policy.check(this);
      if (verdict !== null) throw new Denied(verdict);
    }
    if (user === null) return;
    if (user.ports !== undefined && !user.ports.has(target.port)) {
      throw new GatewayError('port_denied', `port ${target.port} for this user`);
    }
    const reason = user.denies(target.host);
    if (reason !== null) {
      throw new Denied({
        action: 'block',
        policy: `user ${user.name}`,
        rule: 'dst_host_filter_set',
        reason,
        location: '',
      });
    }
  }

  #route(): Egress | Promise<Egress> {
    const held = this.held?.take(this, this.context) ?? null;
    if (held !== null) return this.#open(held);
    return this.#routed(this.context.escaper.connect(this.target, this, this.purpose));
  }

  #routed(egress: Egress | Promise<Egress>): Egress | Promise<Egress> {
    return egress instanceof Promise ? egress.then((e) => this.#open(e)) : this.#open(egress);
  }

  #open(egress: Egress): Egress {
    this.#abort = null;
    this.escaper = egress.escaper;
    this.peer = egress.peer;
    this.#escaperCounters = this.context.counters.escaper(egress.escaper);
    return egress;
  }

  /** Adds the bytes moved since the last call to all counters. */
  settle(): void {
    const moreIn = this.bytes_in - this.#settledIn;
    const moreOut = this.bytes_out - this.#settledOut;
    if (moreIn === 0 && moreOut === 0) return;
    this.#settledIn = this.bytes_in;
    this.#settledOut = this.bytes_out;
    const { tenant, server } = this.context.counters;
    tenant.bytes_in += moreIn;
    tenant.bytes_out += moreOut;
    server.bytes_in += moreIn;
    server.bytes_out += moreOut;
    if (this.#userCounters !== null) {
      this.#userCounters.bytes_in += moreIn;
      this.#userCounters.bytes_out += moreOut;
    }
    if (this.#escaperCounters !== null) {
      this.#escaperCounters.bytes_in += moreIn;
      this.#escaperCounters.bytes_out += moreOut;
    }
  }

  /** The end of each session, however it ended: counters and the decision log. Called once; more calls do nothing. */
  record(error: GatewayError | null): void {
    if (this.#recorded) return;
    this.#recorded = true;
    this.#abort?.abort();
    this.settle();
    const { context } = this;
    const ms = Math.max(0, context.services.now() - this.started);
    const source = error === null ? '' : errorTable[error.code].source;
    const denied = source === 'policy' || error?.code === 'auth_failed' || error?.code === 'auth_required';
    const { tenant, server } = context.counters;
    count(tenant, ms, error, denied);
    count(server, ms, error, denied);
    if (this.#userCounters !== null) count(this.#userCounters, ms, error, denied);
    if (this.#escaperCounters !== null) count(this.#escaperCounters, ms, error, denied);
    const verdict = error instanceof Denied ? error.verdict : null;
    const query = this.path.indexOf('?');
    context.services.record({
      time: this.started,
      tenant: this.tenant,
      version: this.version,
      server: this.server,
      user: this.user,
      client: this.client,
      method: this.method,
      target: this.authority,
      path: query < 0 ? this.path : this.path.slice(0, query),
      escaper: this.escaper,
      peer: this.peer,
      action: error === null ? 'allow' : verdict?.action === 'redirect' ? 'redirect' : denied ? 'block' : 'error',
      code: error === null ? '' : error.code,
      rule: verdict === null ? '' : `${verdict.policy}: ${verdict.rule}`,
      reason: error === null ? '' : error.detail,
      status: this.status,
      bytes_in: this.bytes_in,
      bytes_out: this.bytes_out,
      ms,
      protocol: this.protocol,
    });
    context.graph.release();
  }
}

function count(counters: Counters, ms: number, error: GatewayError | null, denied: boolean): void {
  counters.requests++;
  if (denied) counters.blocked++;
  else if (error !== null) counters.errors++;
  counters.observe(ms);
}
