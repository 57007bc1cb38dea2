import { randomUUID } from 'node:crypto';
import { cpSync, rmSync } from 'node:fs';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { join } from 'node:path';
import { createCa, type Leaf, type ThrowAwayCa } from './ca.ts';
import { Child } from './child.ts';
import { freePort } from './port.ts';
import { tempDir } from './temp.ts';
import { until } from './until.ts';

export interface EtcdOptions {
  /** TLS towards clients; `clientCert`: clients must show a certificate of the same CA. */
  tls?: boolean | { clientCert: boolean };
  /** Turns authentication on, with `root` (same password) and this user, who may do everything below `prefix`. */
  auth?: {
    user: string;
    password: string;
    prefix?: string /** Seconds a token lives; default 300. */;
    tokenTtl?: number;
  };
  /** Default 1. */
  members?: number;
  /** More arguments for each member. */
  args?: readonly string[];
}

export interface EtcdServer {
  /** Ports that clients use, one per member. */
  readonly ports: readonly number[];
  readonly port: number;
  /** `etcd://127.0.0.1:port,…` or `etcds://` */
  readonly url: string;
  /** One per member: kill, stop, cont, start, restart; data and ports stay. */
  readonly members: readonly Child[];
  /** The first member. */
  readonly process: Child;
  /** Set with `tls`. */
  readonly tls?: { ca: ThrowAwayCa; client: Leaf };
  /** A call over etcd's JSON gateway, e.g. `call('kv/compaction', {revision: 5})`. Bytes are base64, numbers strings. */
  call(path: string, body: object): Promise<any>;
  /** The store's revision now. */
  revision(): Promise<number>;
  /** Compacts everything before `revision` (default: now) and waits until it is done. */
  compact(revision?: number): Promise<void>;
  /** Writes a key without any of Arcus' checks. */
  put(key: string, value: string | Uint8Array): Promise<void>;
  get(key: string): Promise<string | null>;
  /** Keys below a prefix. */
  list(prefix: string): Promise<string[]>;
  delete(key: string): Promise<void>;
  /** Switches authentication on again, after `call('auth/disable', {})`. */
  enableAuth(): Promise<void>;
  /** Kills it, throws all data away and starts it again, empty. Not with `auth`. */
  wipe(): Promise<void>;
  /** Kills it, keeps a copy of its data and starts it again. What comes back puts that copy in place, the same way. */
  backup(): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

const base64 = (text: string | Uint8Array) => Buffer.from(text as string).toString('base64');

/** The end of the range of all keys that start with `prefix`. */
function rangeEnd(prefix: string): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1]! += 1;
  return end;
}

/** A real etcd (or several members of one) on free ports, its data in a temporary folder. */
export async function startEtcd({
  tls = false,
  auth,
  members: count = 1,
  args = [],
}: EtcdOptions = {}): Promise<EtcdServer> {
  const dir = tempDir('etcd');
  const ca = tls ? await createCa('etcd test CA') : undefined;
  const server = await ca?.issue(['localhost', '127.0.0.1']);
  const client = await ca?.issue(['arcus']);
  // With client certificates the JSON gateway refuses one that names a user.
  const admin = await ca?.issue([]);
  const scheme = ca ? 'https' : 'http';
  const places = await Promise.all(
    Array.from({ length: count }, async (_, index) => ({
      name: `m${index}`,
      client: await freePort(),
      peer: await freePort(),
    })),
  );
  const cluster = places.map(({ name, peer }) => `${name}=http://127.0.0.1:${peer}`).join(',');
  const tlsArgs =
    ca && server
      ? [`--cert-file=${server.certFile}`, `--key-file=${server.keyFile}`, `--trusted-ca-file=${ca.certFile}`]
      : [];
  if (typeof tls === 'object' && tls.clientCert) tlsArgs.push('--client-cert-auth');

  let token: Promise<string> | undefined;
  const send = (port: number, method: string, path: string, body?: object, authorization?: string): Promise<any> =>
    new Promise((resolve, reject) => {
      const text = body && JSON.stringify(body);
      const options = {
        host: '127.0.0.1',
        port,
        method,
        path,
        agent: false,
        // Tens of megabytes take their time on a busy machine, and anything may while it waits for its disk.
        timeout: 30_000 + (text?.length ?? 0) / 2000,
        ...(ca && admin && { ca: ca.cert, cert: admin.cert, key: admin.key }),
        headers: { 'content-type': 'application/json', ...(authorization && { authorization }) },
      };
      const request = (ca ? requestHttps : requestHttp)(options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          if (response.statusCode === 200) resolve(JSON.parse(text));
          else reject(new Error(`${path}: ${response.statusCode} ${text}`));
        });
      });
      request.on('timeout', () => request.destroy(new Error(`${path}: no answer`)));
      request.on('error', reject);
      request.end(text);
    });

  const started: Child[] = [];
  const close = async () => {
    await Promise.all(started.map((member) => member.close()));
    dir.close();
    ca?.close();
  };
  try {
    // Members of one cluster answer only once a majority of them is up: all start at once.
    started.push(
      ...(await Promise.all(
        places.map(({ name, client, peer }) =>
          Child.start({
            command: 'etcd',
            args: [
              `--name=${name}`,
              `--data-dir=${join(dir.path, name)}`,
              `--listen-client-urls=${scheme}://127.0.0.1:${client}`,
              `--advertise-client-urls=${scheme}://127.0.0.1:${client}`,
              `--listen-peer-urls=http://127.0.0.1:${peer}`,
              `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
              `--initial-cluster=${cluster}`,
              '--initial-cluster-state=new',
              '--logger=zap',
              '--log-level=error',
              `--auth-token-ttl=${auth?.tokenTtl ?? 300}`,
              ...tlsArgs,
              ...args,
            ],
            ready: async () => `${(await send(client, 'GET', '/health')).health}` === 'true',
            deadline: 120_000,
          }),
        ),
      )),
    );
  } catch (error) {
    await close();
    throw error;
  }
  const port = places[0]!.client;

  const login = async () =>
    (await send(port, 'POST', '/v3/auth/authenticate', { name: 'root', password: auth?.password })).token as string;
  let authenticated = false;
  const call = async (path: string, body: object) => {
    if (!authenticated) return send(port, 'POST', `/v3/${path}`, body);
    token ??= login();
    try {
      return await send(port, 'POST', `/v3/${path}`, body, await token);
    } catch {
      token = login(); // Expired, or etcd was restarted and forgot it.
      return send(port, 'POST', `/v3/${path}`, body, await token);
    }
  };
  const enableAuth = async () => {
    await send(port, 'POST', '/v3/auth/enable', {});
    authenticated = true;
  };
  if (auth) {
    const { user, password, prefix } = auth;
    await call('auth/user/add', { name: 'root', password });
    await call('auth/user/grant', { user: 'root', role: 'root' });
    await call('auth/role/add', { name: 'arcus' });
    await call('auth/role/grant', {
      name: 'arcus',
      perm: {
        permType: 'READWRITE',
        key: prefix ? base64(prefix) : base64('\0'),
        range_end: prefix ? base64(rangeEnd(prefix)) : base64('\0'),
      },
    });
    if (user !== 'root') {
      await call('auth/user/add', { name: user, password });
      await call('auth/user/grant', { user, role: 'arcus' });
    }
    await enableAuth();
  }
  const offline = async (work: () => void) => {
    await Promise.all(started.map((member) => member.kill('SIGKILL')));
    work();
    await Promise.all(started.map((member) => member.start()));
  };
  const eachPlace = (work: (name: string) => void) => {
    for (const { name } of places) work(name);
  };
  const copyAll = { recursive: true };
  const revision = async () => Number((await call('kv/range', { key: base64('none') })).header.revision);
  return {
    ports: places.map((place) => place.client),
    port,
    url: `${ca ? 'etcds' : 'etcd'}://${places.map((place) => `127.0.0.1:${place.client}`).join(',')}`,
    members: started,
    process: started[0]!,
    ...(ca && client && { tls: { ca, client } }),
    call,
    revision,
    async compact(at) {
      const target = at ?? (await revision());
      await until(
        () =>
          call('kv/compaction', { revision: String(target), physical: true }).catch((error) => {
            if (/compacted/.test(error.message)) return true;
            throw error;
          }),
        { deadline: 60_000, what: 'compaction' },
      );
    },
    put: async (key, value) => void (await call('kv/put', { key: base64(key), value: base64(value) })),
    async get(key) {
      const value = (await call('kv/range', { key: base64(key) })).kvs?.[0]?.value;
      return value === undefined ? null : Buffer.from(value, 'base64').toString('utf8');
    },
    async list(prefix) {
      const { kvs = [] } = await call('kv/range', {
        key: base64(prefix),
        range_end: base64(rangeEnd(prefix)),
        keys_only: true,
      });
      return kvs.map((kv: { key: string }) => Buffer.from(kv.key, 'base64').toString('utf8'));
    },
    enableAuth,
    wipe: () => offline(() => eachPlace((name) => rmSync(join(dir.path, name), { recursive: true }))),
    async backup() {
      const copy = join(dir.path, `backup-${randomUUID()}`);
      await offline(() => eachPlace((name) => cpSync(join(dir.path, name), join(copy, name), copyAll)));
      return () =>
        offline(() => {
          for (const { name } of places) {
            rmSync(join(dir.path, name), { recursive: true });
            cpSync(join(copy, name), join(dir.path, name), copyAll);
          }
        });
    },
    delete: async (key) => void (await call('kv/deleterange', { key: base64(key) })),
    close,
  };
}
