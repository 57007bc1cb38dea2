/** A tenant with 5 MiB of rules and 100,000 users: its whole config published, and then one user added. */
import { hash, randomBytes } from 'node:crypto';
import { freePort } from '@arcus/testkit/port.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { median } from '../../measure.ts';
import type { Result, Row } from '../../row.ts';
import { Marker } from '../marker.ts';
import { policyOf } from '../tenants.ts';
import { sharedWorld, useAllCores } from '../world.ts';

const TENANT = 'large';
const USERS = 100_000;
/** So many make 5 MiB. */
const RULES = 90_000;
const ROUNDS = 3;
const ADDED = 30;
const SALT = 'pepper';

/** Salted SHA-1, as an import brings it; of passwords that nobody knows. */
const users = () =>
  Array.from({ length: USERS }, (_, i) => {
    return { name: `user-${i}`, token: { salt: SALT, sha1: randomBytes(20).toString('hex') } };
  });

const result = (name: string, unit: string, runs: number[], limit?: number): Result => ({
  ...{ name, unit, arcus: median(runs), peers: {}, ratio: {}, runs: { arcus: runs } },
  target: limit === undefined ? {} : { arcus: limit },
});

/** performance.now() when the proxy lets the user in. */
async function loggedIn(port: number, name: string, password: string): Promise<number> {
  const client = await RawClient.connect({ port });
  const authorization = `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
  const end = performance.now() + 30_000;
  try {
    for (;;) {
      const { status } = await client.request(
        `GET http://site.example/ HTTP/1.1\r\nHost: site.example\r\nProxy-Authorization: ${authorization}\r\n\r\n`,
      );
      const at = performance.now();
      if (status !== 407) return at;
      if (at > end) throw new Error(`after 30 s ${name} is still not let in`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  } finally {
    client.socket.destroy();
  }
}

export const largeTenantRow: Row = {
  name: 'large-tenant',
  description: `a tenant of 5 MiB and ${USERS} users: published → live; one user added → live`,
  programs: ['taskset', 'mariadbd', 'etcd', 'redis-server'],
  page: 'control',
  async run(lab) {
    useAllCores();
    const world = await sharedWorld({ tenants: 1, rules: 100 });
    const { client } = await world.startApi(lab);
    await world.startWorker(lab);
    const [open, login] = [await freePort(), await freePort()];
    const policy = (mark: number) => policyOf(1, RULES, mark);
    const config = (static_users: object[], mark: number) => ({
      servers: [
        { name: 'open', type: 'http_proxy', listen: { address: `127.0.0.1:${open}` }, escaper: 'deny' },
        {
          ...{ name: 'login', type: 'http_proxy', listen: { address: `127.0.0.1:${login}` }, escaper: 'deny' },
          user_group: 'staff',
        },
      ],
      escapers: [{ name: 'deny', type: 'dummy_deny' }],
      user_groups: [{ name: 'staff', type: 'basic', static_users }],
      policies: [policy(mark)],
    });
    const tenant = {
      tenant_id: TENANT,
      tenant_name: TENANT,
      config: { ...config([], 0), policies: [policyOf(1, 1, 0)] },
    };
    await client.call('POST', '/tenants?wait=acked', tenant);

    const [answered, live, size] = [[] as number[], [] as number[], JSON.stringify(policy(0)).length];
    for (let mark = 1; mark <= ROUNDS; mark++) {
      // Every user is another one each time: nothing of the release before can be used again.
      const body = config(users(), mark);
      const began = performance.now();
      const { at } = await client.call('PUT', `/tenants/${TENANT}/config`, body, '*');
      const marker = await Marker.open('127.0.0.1', open);
      live.push((await marker.waitFor(mark)) - at);
      answered.push(at - began);
      marker.close();
    }

    const [added, addAnswered] = [[] as number[], [] as number[]];
    for (let i = -5; i < ADDED; i++) {
      const name = `new-${i}`;
      const user = { user_group: 'staff', token: { salt: SALT, sha1: hash('sha1', `${SALT}${name}`) } };
      const began = performance.now();
      const { at } = await client.call('PUT', `/tenants/${TENANT}/users/${name}`, user);
      const seen = await loggedIn(login, name, name);
      if (i < 0) continue;
      added.push(seen - at);
      addAnswered.push(at - began);
    }
    const mib = (size / 2 ** 20).toFixed(1);
    return [
      result('large-tenant', `s, ${mib} MiB of rules and ${USERS} new users answered → live`, seconds(live), 2),
      result('large-tenant-write', 's, sent → answered', seconds(answered)),
      result('large-tenant-user', 'ms, one user more answered → live', added, 100),
      result('large-tenant-user-write', 'ms, sent → answered', addAnswered),
    ];
  },
};

const seconds = (ms: readonly number[]): number[] => ms.map((value) => value / 1000);
