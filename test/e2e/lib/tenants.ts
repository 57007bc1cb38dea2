/** What a tenant's administrator does, over the API. */
import { type Answer, ask, path } from '@arcus/cli/client.ts';
import type { Connection } from '@arcus/cli/connection.ts';

export interface TenantOptions {
  readonly port: number;
  /** Name -> password; none: everybody may. */
  readonly users?: Record<string, string>;
  /** Ports that tunnels may go to. */
  readonly connect?: readonly number[];
}

/** One server, one way out that may reach this machine, one policy without rules. */
export const configOf = ({ port, users, connect = [443] }: TenantOptions) => ({
  servers: [
    {
      name: 'web',
      type: 'http_proxy',
      listen: { address: `127.0.0.1:${port}` },
      escaper: 'out',
      connect_ports: connect,
      ...(users ? { user_group: 'staff' } : {}),
    },
  ],
  escapers: [{ name: 'out', type: 'direct_fixed', egress_allow: [{ network: '127.0.0.0/8' }] }],
  user_groups: [
    {
      name: 'staff',
      type: 'basic',
      static_users: Object.entries(users ?? {}).map(([name, password]) => ({ name, password })),
    },
  ],
  policies: [{ name: 'sites', type: 'url_filter', rules: [] as object[] }],
});

export const send = (api: Connection, method: string, at: string, body: unknown, headers = {}): Promise<Answer> =>
  ask(api, at, { method, body: JSON.stringify(body), headers });

/** Creates the tenant and waits until every live worker runs it. */
export const createTenant = (api: Connection, id: string, options: TenantOptions): Promise<Answer> =>
  send(api, 'POST', '/tenants?wait=acked', { tenant_id: id, tenant_name: id, config: configOf(options) });

/** Replaces the rules of the tenant's policy. */
export const setRules = (api: Connection, id: string, rules: readonly object[], query = ''): Promise<Answer> =>
  send(
    api,
    'PUT',
    `${path('tenants', id, 'policies', 'sites')}${query}`,
    { name: 'sites', type: 'url_filter', rules },
    { 'if-match': '*' },
  );

export const block = (host: string) => ({ exact_match: host, action: 'block', id: `no-${host}` });

export const statusOf = async (api: Connection, id: string) =>
  (await ask(api, `${path('tenants', id)}/config/status`)).body;
