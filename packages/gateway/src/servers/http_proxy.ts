import { z } from 'zod';
import { GatewayError } from '../errors.ts';
import { HttpConnection, type HttpServer, type HttpServerContext } from '../http/connection.ts';
import { forwardedFor, hostMismatch, httpLimits, upgrades } from '../http/options.ts';
import { type Binding, defineServer, type GraphHandle, type ListenAddress, Name, type Server } from '../kind.ts';
import { ServerCounters } from '../stats.ts';
import type { ByteStream } from '../stream.ts';
import { clientKey } from './client_key.ts';
import { listenConfig, parseListen } from './listen.ts';
import { connectPorts, forwardPorts, forwardRule } from './ports.ts';
import { oneOfEach } from './sets.ts';

/** RFC 9110 section 11.5: a quoted string; kept to what needs no quoting. */
const realm = z
  .string()
  .regex(/^[ !#-[\]-~]{1,64}$/, 'must be 1 to 64 printable characters without quotes and backslashes');

export const httpProxy = defineServer({
  type: 'http_proxy',
  description: 'Explicit HTTP/1.x proxy: forward requests for http URLs and CONNECT tunnels',
  config: {
    listen: listenConfig,
    escaper: Name.describe('Escaper that takes the sessions of this server out'),
    user_group: Name.optional().describe(
      'Users who may use this server (Basic authentication); without it everybody may',
    ),
    auditor: Name.optional().describe('Auditor that looks at the tunnels and the upgraded connections of this server'),
    auth_realm: realm.default('arcus').describe('Realm shown when credentials are asked for'),
    connect_ports: connectPorts,
    forward_ports: forwardPorts,
    upgrades,
    forwarded_for: forwardedFor,
    host_mismatch: hostMismatch,
    limits: httpLimits,
  },
  examples: [
    { name: 'web', type: 'http_proxy', listen: { address: '127.0.0.1:8080' }, escaper: 'out' },
    {
      name: 'staff',
      type: 'http_proxy',
      listen: { address: '[::]:8081' },
      escaper: 'out',
      user_group: 'staff',
      auditor: 'look',
      connect_ports: [443, 8443],
      forward_ports: [80, 8080],
      forwarded_for: 'append',
      limits: { head_ms: 5000 },
    },
  ],
  refs: (c) => [
    { family: 'escapers', name: c.escaper, pointer: '/escaper' },
    ...(c.user_group === undefined
      ? []
      : [{ family: 'user_groups' as const, name: c.user_group, pointer: '/user_group' }]),
    ...(c.auditor === undefined ? [] : [{ family: 'auditors' as const, name: c.auditor, pointer: '/auditor' }]),
  ],
  create: (c, ctx) => {
    const { limits, worker } = ctx.services;
    const context: Context = {
      name: c.name,
      // Set by compile, before the first connection.
      graph: null as unknown as GraphHandle,
      services: ctx.services,
      use: limits.of(ctx.tenant),
      escaper: ctx.get('escapers', c.escaper),
      userGroup: c.user_group === undefined ? null : ctx.get('user_groups', c.user_group),
      auditor: c.auditor === undefined ? null : ctx.get('auditors', c.auditor),
      policies: ctx.policies,
      connectPorts: oneOfEach(c.connect_ports),
      mayForwardTo: forwardRule(c.forward_ports),
      counters: new ServerCounters(ctx.services.stats, ctx.tenant, c.name),
      upgrades: oneOfEach(c.upgrades.map((name) => name.toLowerCase())),
      limits: c.limits,
      realm: c.auth_realm,
      forwardedFor: c.forwarded_for,
      hostMismatch: c.host_mismatch,
      via: `Via: 1.1 ${worker}\r\n`,
    };
    return new HttpProxyServer(c.name, parseListen(c.listen.address), context);
  },
});

type Context = { -readonly [K in keyof HttpServerContext]: HttpServerContext[K] };

export class HttpProxyServer implements Server, HttpServer {
  readonly type = 'http_proxy';
  readonly name: string;
  readonly listen: ListenAddress;
  readonly context: HttpServerContext;

  constructor(name: string, listen: ListenAddress, context: Context) {
    this.name = name;
    this.listen = listen;
    this.context = context;
  }

  get graph(): GraphHandle {
    return this.context.graph;
  }

  set graph(graph: GraphHandle) {
    (this.context as Context).graph = graph;
  }

  explain(): string {
    const who = this.context.userGroup ? `users of "${this.context.userGroup.name}"` : 'everybody';
    return `HTTP proxy on ${this.listen.host} port ${this.listen.port} for ${who}, out through "${this.context.escaper.name}"`;
  }

  serve(stream: ByteStream, binding: Binding): void {
    const { tenant, server } = this.context.counters;
    tenant.connections++;
    server.connections++;
    const clients = clientsOf(binding);
    const client = clientKey(stream.remoteAddress);
    const { share } = binding;
    const limit = this.context.limits.sessions_per_client;
    const here = clients.get(client) ?? 0;
    const open = share === undefined ? here : here + share.elsewhere(client);
    const { use } = this.context;
    try {
      if (open >= limit) throw new GatewayError('too_many_sessions', `${open} connections of this client are open`);
      use.opened(this.graph.limits.max_concurrent_connections);
    } catch (error) {
      new HttpConnection(stream, binding, this, httpServerOf, () => {}).reject(GatewayError.of(error));
      return;
    }
    clients.set(client, here + 1);
    share?.changed(client, here + 1, limit);
    new HttpConnection(stream, binding, this, httpServerOf, () => {
      use.closed();
      const left = clients.get(client)! - 1;
      if (left === 0) clients.delete(client);
      else clients.set(client, left);
      share?.changed(client, left, limit);
    });
  }
}

/** Open connections of each client (see `clientKey`), for each bound address: connections outlive the release they came in. */
const clientCounts = new WeakMap<Binding, Map<string, number>>();

/** The counts of one binding; addresses with none are not in it. */
export function clientsOf(binding: Binding): Map<string, number> {
  let clients = clientCounts.get(binding);
  if (clients === undefined) {
    clients = new Map();
    clientCounts.set(binding, clients);
  }
  return clients;
}

/** The server that the newest release put on this address, when it still speaks HTTP. */
function httpServerOf(binding: Binding): HttpServer | null {
  return binding.server instanceof HttpProxyServer ? binding.server : null;
}
