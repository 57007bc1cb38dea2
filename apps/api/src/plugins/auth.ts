import type { FastifyInstance, FastifyRequest } from 'fastify';
import { notFound, Problem } from '../http/problem.ts';

export const roles = ['admin', 'tenant', 'viewer'] as const;
export type Role = (typeof roles)[number];

/** Who asks: what a token says of its bearer. */
export interface Actor {
  token_id: string;
  name: string;
  role: Role;
  /** Null: all tenants. */
  tenant_id: string | null;
}

/** What a route asks of its caller. */
export interface Access {
  /** public: no token. read: any. write: admin, or tenant within its own. admin: admin. */
  need: 'public' | 'read' | 'write' | 'admin';
  /**
   * tenant: one tenant, `:tenant_id` of the path. all: what belongs to no tenant, closed to tokens of one tenant.
   * own: every token, the route answers what the token may see.
   */
  scope: 'tenant' | 'all' | 'own';
}

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
  }
  interface FastifyRequest {
    actor: Actor;
  }
}

export const publicAccess: { access: Access } = { access: { need: 'public', scope: 'all' } };
export const access = (need: Access['need'], scope: Access['scope']): { access: Access } => ({
  access: { need, scope },
});

/**
 * Bearer tokens (RFC 6750). `verify` answers whom a token belongs to, or null. A route that says nothing of its
 * access is closed.
 */
export function auth(app: FastifyInstance, verify: (token: string) => Promise<Actor | null>): void {
  app.decorateRequest('actor', null as unknown as Actor);
  app.addHook('onRequest', async (request) => {
    if (request.is404) return;
    const wanted = request.routeOptions.config.access;
    if (wanted?.need === 'public') return;
    const actor = await authenticate(request, verify);
    request.actor = actor;
    if (!wanted) throw new Problem('forbidden');
    // First whether this token may know of it at all, then what it may do there.
    const { tenant_id } = request.params as { tenant_id?: string };
    if (wanted.scope === 'tenant' && actor.tenant_id !== null && actor.tenant_id !== tenant_id) {
      throw notFound('tenant', tenant_id ?? '');
    }
    if (wanted.scope === 'all' && actor.tenant_id !== null) {
      throw new Problem('forbidden', 'A token of one tenant may not see or change what is not of that tenant');
    }
    if (wanted.need === 'admin' && actor.role !== 'admin') throw new Problem('forbidden', 'This needs an admin token');
    if (wanted.need === 'write' && actor.role === 'viewer') throw new Problem('forbidden', 'A viewer may only read');
  });
}

async function authenticate(request: FastifyRequest, verify: (token: string) => Promise<Actor | null>): Promise<Actor> {
  const header = request.headers.authorization;
  const token = /^Bearer +([A-Za-z0-9._~+/-]+=*) *$/i.exec(header ?? '')?.[1];
  if (token === undefined) throw new Problem('unauthorized', 'Send Authorization: Bearer <token>');
  const actor = await verify(token);
  if (!actor) throw new Problem('unauthorized', 'This token is unknown, expired or revoked');
  return actor;
}
