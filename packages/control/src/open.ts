import { readFile } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { defaultPrefix } from './keys.ts';
import type { ConfigStore } from './store.ts';
import { openFileStore } from './stores/file.ts';

/** The config store's part of the environment. */
export const StoreEnv = z.object({
  ARCUS_STORE_URL: z
    .string()
    .describe('etcd://host:port[,host:port…], etcds://… for TLS, or file:<folder> for one machine'),
  ARCUS_STORE_USER: z.string().optional().describe('User of etcd'),
  ARCUS_STORE_PASSWORD: z.string().optional().describe('Password of that user'),
  ARCUS_STORE_CA_FILE: z
    .string()
    .optional()
    .describe('PEM file: the authorities that may vouch for etcd; default: the system’s'),
  ARCUS_STORE_CERT_FILE: z.string().optional().describe('PEM file: our certificate for etcd'),
  ARCUS_STORE_KEY_FILE: z.string().optional().describe('PEM file: the key of our certificate'),
  ARCUS_STORE_PREFIX: z
    .string()
    .regex(/^\/.*\/$/, 'must start and end with "/"')
    .optional()
    .describe(`Prefix of all keys in etcd; default: ${defaultPrefix}`),
});
export type StoreEnv = z.output<typeof StoreEnv>;

export interface StoreOptions {
  user?: string | undefined;
  password?: string | undefined;
  /** PEM files, for `etcds://`. */
  caFile?: string | undefined;
  certFile?: string | undefined;
  keyFile?: string | undefined;
  prefix?: string | undefined;
  /** Milliseconds for one call; default 3,000. */
  deadline?: number | undefined;
}

/** The store that the environment names. */
export function openStoreFromEnv(env: StoreEnv): Promise<ConfigStore> {
  return openStore(env.ARCUS_STORE_URL, {
    user: env.ARCUS_STORE_USER,
    password: env.ARCUS_STORE_PASSWORD,
    caFile: env.ARCUS_STORE_CA_FILE,
    certFile: env.ARCUS_STORE_CERT_FILE,
    keyFile: env.ARCUS_STORE_KEY_FILE,
    prefix: env.ARCUS_STORE_PREFIX,
  });
}

/**
 * Opens a store by its URL: `etcd://h:p,h:p`, `etcds://h:p`, `file:<folder>`. Does not connect: a store that is away
 * shows at the first call. Throws on a URL or an option that makes no sense, and on PEM files that can't be read.
 */
export async function openStore(url: string, options: StoreOptions = {}): Promise<ConfigStore> {
  if (url.startsWith('file:')) {
    const used = Object.entries(options).find(([name, value]) => value !== undefined && name !== 'deadline');
    if (used) throw new TypeError(`${used[0]} means nothing to the store ${url}`);
    return openFileStore(folderOf(url));
  }
  const match = /^(etcds?):\/\/([^/?#]+)\/?$/.exec(url);
  if (!match) throw new TypeError(`${url} is not a store: etcd://host:port, etcds://host:port or file:<folder>`);
  const { user, password, caFile, certFile, keyFile, prefix, deadline } = options;
  const secure = match[1] === 'etcds';
  if (!secure && (caFile || certFile || keyFile)) throw new TypeError(`${url}: TLS files need etcds://`);
  if ((certFile === undefined) !== (keyFile === undefined)) throw new TypeError(`${url}: a certificate needs its key`);
  if ((user === undefined) !== (password === undefined)) throw new TypeError(`${url}: a user needs a password`);
  const pem = (file: string | undefined) => (file === undefined ? undefined : readFile(file));
  // gRPC costs 20 MB and 100 ms: only who uses etcd pays.
  const { openEtcdStore } = await import('./stores/etcd.ts');
  return openEtcdStore({
    endpoints: match[2]!.split(',').map(endpoint),
    ...(secure && { tls: { ca: await pem(caFile), cert: await pem(certFile), key: await pem(keyFile) } }),
    ...(user !== undefined && password !== undefined && { auth: { user, password } }),
    prefix,
    deadline,
  });
}

function endpoint(text: string): string {
  if (!/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):\d{1,5}$/.test(text)) throw new TypeError(`${text} is not host:port`);
  return text;
}

function folderOf(url: string): string {
  if (url.startsWith('file://')) return fileURLToPath(url);
  const path = url.slice('file:'.length);
  if (path === '') throw new TypeError('file: needs a folder');
  return isAbsolute(path) ? path : resolve(path);
}
