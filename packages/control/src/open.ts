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
    .regex(
      /^(?:etcds?:\/\/|kubernetes:|file:)./,
      'must be etcd://host:port, etcds://…, kubernetes:?namespace=… or file:<folder>',
    )
    .describe(
      'etcd://host:port[,host:port…], etcds://… for TLS, kubernetes:?namespace=<name>, or file:<folder> for one machine',
    ),
  ARCUS_STORE_USER: z.string().optional().describe('User of etcd'),
  ARCUS_STORE_PASSWORD: z.string().optional().describe('Password of that user'),
  ARCUS_STORE_CA_FILE: z
    .string()
    .optional()
    .describe('PEM file: the authorities that may vouch for the store; default: the system’s, in a pod the cluster’s'),
  ARCUS_STORE_CERT_FILE: z.string().optional().describe('PEM file: our certificate for the store'),
  ARCUS_STORE_KEY_FILE: z.string().optional().describe('PEM file: the key of our certificate'),
  ARCUS_STORE_PREFIX: z
    .string()
    .regex(/^\/.*\/$/, 'must start and end with "/"')
    .optional()
    .describe(`Prefix of all keys in etcd; default: ${defaultPrefix}`),
  ARCUS_KUBE_URL: z
    .string()
    .regex(/^https?:\/\/[^/?#]+\/?$/, 'must be https://host:port')
    .optional()
    .describe('Kubernetes API server, for who runs outside of the cluster; default: that of the pod’s cluster'),
  ARCUS_KUBE_TOKEN_FILE: z
    .string()
    .optional()
    .describe('Token for it, read again when it changes; default in a pod: that of its service account'),
  KUBERNETES_SERVICE_HOST: z.string().optional().describe('Set by Kubernetes in each pod'),
  KUBERNETES_SERVICE_PORT_HTTPS: z.string().optional().describe('Set by Kubernetes in each pod'),
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
  /** Of the Kubernetes API server; default: inCluster. */
  kubeUrl?: string | undefined;
  kubeTokenFile?: string | undefined;
  /** Where a pod finds the API server of its cluster. */
  inCluster?: { host: string; port: string } | undefined;
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
    kubeUrl: env.ARCUS_KUBE_URL,
    kubeTokenFile: env.ARCUS_KUBE_TOKEN_FILE,
    inCluster:
      env.KUBERNETES_SERVICE_HOST === undefined
        ? undefined
        : { host: env.KUBERNETES_SERVICE_HOST, port: env.KUBERNETES_SERVICE_PORT_HTTPS ?? '443' },
  });
}

/** What every kind takes, or a program hands over because it happens to be there. */
const COMMON = ['deadline', 'inCluster'];

/**
 * Opens a store by its URL: `etcd://h:p,h:p`, `etcds://h:p`, `kubernetes:?namespace=n`, `file:<folder>`. Does not
 * connect: a store that is away shows at the first call. Throws on a URL or an option that makes no sense, and on files
 * that can't be read.
 */
export async function openStore(url: string, options: StoreOptions = {}): Promise<ConfigStore> {
  if (url.startsWith('file:')) {
    refuseOthers(url, options, []);
    return openFileStore(folderOf(url));
  }
  if (url.startsWith('kubernetes:')) return openKubernetes(url, options);
  const match = /^(etcds?):\/\/([^/?#]+)\/?$/.exec(url);
  if (!match) {
    throw new TypeError(
      `${url} is not a store: etcd://host:port, etcds://host:port, kubernetes:?namespace=name or file:<folder>`,
    );
  }
  refuseOthers(url, options, ['user', 'password', 'caFile', 'certFile', 'keyFile', 'prefix']);
  const { user, password, caFile, certFile, keyFile, prefix, deadline } = options;
  const secure = match[1] === 'etcds';
  if (!secure && (caFile || certFile || keyFile)) throw new TypeError(`${url}: TLS files need etcds://`);
  needsBoth(url, options);
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

const inPod = '/var/run/secrets/kubernetes.io/serviceaccount';

/** `kubernetes:?namespace=n&blobs=m` or `kubernetes://n?blobs=m`; in a pod the namespace may be left out. */
async function openKubernetes(url: string, options: StoreOptions): Promise<ConfigStore> {
  refuseOthers(url, options, ['caFile', 'certFile', 'keyFile', 'kubeUrl', 'kubeTokenFile']);
  needsBoth(url, options);
  const { kubeUrl, inCluster, certFile, keyFile, deadline } = options;
  const match = /^kubernetes:(?:\/\/([^/?#]*)\/?)?(?:\?([^#]*))?$/.exec(url);
  const query = new URLSearchParams(match?.[2] ?? '');
  const unknown = [...query.keys()].find((name) => name !== 'namespace' && name !== 'blobs');
  if (!match || unknown !== undefined) throw new TypeError(`${url} is not kubernetes:?namespace=name&blobs=name`);
  const pod = kubeUrl === undefined;
  if (pod && !inCluster) throw new TypeError(`${url}: this is no pod, so ARCUS_KUBE_URL must name the API server`);
  const tokenFile = options.kubeTokenFile ?? (pod ? `${inPod}/token` : undefined);
  if (kubeUrl?.startsWith('http:') && tokenFile) throw new TypeError(`${kubeUrl}: a token needs https://`);
  const named = query.get('namespace') ?? (match[1] || undefined);
  const namespace = named ?? (pod ? (await readFile(`${inPod}/namespace`, 'utf8')).trim() : undefined);
  if (namespace === undefined) throw new TypeError(`${url} names no namespace: kubernetes:?namespace=name`);
  const { openKubernetesStore } = await import('./stores/kubernetes.ts');
  return openKubernetesStore({
    url:
      kubeUrl ??
      `https://${inCluster!.host.includes(':') ? `[${inCluster!.host}]` : inCluster!.host}:${inCluster!.port}`,
    namespace,
    blobs: query.get('blobs') ?? undefined,
    tokenFile,
    caFile: options.caFile ?? (pod ? `${inPod}/ca.crt` : undefined),
    certFile,
    keyFile,
    deadline,
  });
}

function refuseOthers(url: string, options: StoreOptions, known: readonly string[]): void {
  const used = Object.entries(options).find(
    ([name, value]) => value !== undefined && !known.includes(name) && !COMMON.includes(name),
  );
  if (used) throw new TypeError(`${used[0]} means nothing to the store ${url}`);
}

function needsBoth(url: string, { certFile, keyFile }: StoreOptions): void {
  if ((certFile === undefined) !== (keyFile === undefined)) throw new TypeError(`${url}: a certificate needs its key`);
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
