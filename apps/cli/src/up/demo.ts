import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { ApiError, ask, path } from '../client.ts';
import type { Connection } from '../connection.ts';
import { writePrivate } from './private-file.ts';
import { type Address, parseAddress, reachable, text } from './settings.ts';

export const DEMO = 'demo';

/** What is remembered of the demo tenant: `demo.json` in the data folder, readable for its owner only. */
const Demo = z.strictObject({
  user: z.string(),
  password: z.string(),
  /** False from the first thought until the tenant exists. */
  seeded: z.boolean(),
  /** What the config said when it was last written here. */
  health: z.string().optional(),
  proxy: z.string(),
  /** Of an older start, which let the demo reach the whole API. */
  api: z.string().optional(),
});
export type Demo = z.output<typeof Demo>;

interface Wanted {
  readonly data: string;
  readonly health: Address;
  readonly proxy: Address;
}

/**
 * Makes the tenant `demo` the first time. Later it is the user's: only when the addresses of health or proxy moved, and
 * the demo's server and escaper still say what was written here, they follow. What must wait, since a release is held or
 * rolled out, is told to `notice`, and tried again by the next start.
 */
export async function ensureDemo(
  connection: Connection,
  wanted: Wanted,
  notice: (text: string) => void,
): Promise<Demo> {
  const file = join(wanted.data, 'demo.json');
  const save = (demo: Demo) => writePrivate(file, `${JSON.stringify(demo, null, 2)}\n`);
  const addresses = { health: text(reachable(wanted.health)), proxy: text(wanted.proxy) };
  let demo: Demo;
  if (existsSync(file)) demo = Demo.parse(JSON.parse(readFileSync(file, 'utf8')));
  else {
    // The password is kept before it is used: a start that dies in between is finished by the next.
    demo = { user: 'demo', password: randomBytes(12).toString('base64url'), seeded: false, ...addresses };
    save(demo);
  }
  if (!demo.seeded) await create(connection, demo);
  const followed = await follow(connection, demo, addresses, notice);
  demo = { user: demo.user, password: demo.password, seeded: true, ...followed };
  save(demo);
  return demo;
}

async function create(connection: Connection, demo: Demo): Promise<void> {
  const tenant = { tenant_id: DEMO, tenant_name: 'Demo', config: demoConfig(demo) };
  try {
    await ask(connection, '/tenants?message=first+start', { method: 'POST', body: JSON.stringify(tenant) });
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 409) throw error;
  }
}

const egressOf = (address: string) => {
  const { host, port } = parseAddress(address)!;
  return [{ network: `${host}/${isIP(host) === 6 ? 128 : 32}`, ports: [port] }];
};

function demoConfig({ user, password, health, proxy }: Demo) {
  return {
    servers: [
      { name: 'proxy', type: 'http_proxy', listen: { address: proxy }, escaper: 'direct', user_group: 'people' },
    ],
    // Public addresses, and of this machine nothing but how the API is.
    escapers: [{ name: 'direct', type: 'direct_fixed', egress_allow: egressOf(health!) }],
    user_groups: [{ name: 'people', type: 'basic', static_users: [{ name: user, password }] }],
    policies: [
      {
        name: 'blocked-sites',
        type: 'url_filter',
        rules: [{ child_match: ['blocked.example', 'ads.example'], action: 'block', id: 'example' }],
      },
    ],
  };
}

type Addresses = Required<Pick<Demo, 'health' | 'proxy'>>;

/** Answers the addresses that the demo's config was made to follow. */
async function follow(
  connection: Connection,
  demo: Demo,
  now: Addresses,
  notice: (text: string) => void,
): Promise<Addresses> {
  const followed = { ...now };
  const wait = (what: string, still: string, why: string) =>
    notice(`the ${what} of the tenant ${DEMO} stays ${still} until the next start: ${why}`);
  if (demo.proxy !== now.proxy) {
    const why = await change(connection, path('servers', 'proxy'), (server) =>
      server.listen?.address === demo.proxy ? { ...server, listen: { address: now.proxy } } : null,
    );
    if (why !== null) {
      followed.proxy = demo.proxy;
      wait('proxy', demo.proxy, why);
    }
  }
  const before = demo.health ?? demo.api;
  if (before !== undefined && before !== now.health) {
    const why = await change(connection, path('escapers', 'direct'), (escaper) =>
      isDeepStrictEqual(escaper.egress_allow, egressOf(before))
        ? { ...escaper, egress_allow: egressOf(now.health) }
        : null,
    );
    if (why !== null) {
      followed.health = before;
      wait('way to the health address', before, why);
    }
  }
  return followed;
}

/**
 * Puts what `edit` makes of an object of the demo tenant; nothing when that is null or the object is gone. Answers why
 * it must wait: a release is held or rolled out (409).
 */
async function change(
  connection: Connection,
  below: string,
  edit: (object: any) => object | null,
): Promise<string | null> {
  const at = path('tenants', DEMO) + below;
  try {
    const { body, headers } = await ask(connection, at);
    const edited = edit(body);
    if (edited === null) return null;
    const etag = headers.get('etag') ?? '*';
    await ask(connection, `${at}?message=address+moved`, {
      method: 'PUT',
      body: JSON.stringify(edited),
      headers: { 'if-match': etag },
    });
    return null;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 409) return 'it holds or rolls out a release';
    if (error.status === 404) return null;
    throw error;
  }
}
