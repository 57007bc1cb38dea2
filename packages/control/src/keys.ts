/** Where things lie in a store. Everything is below one prefix, so that a store may be shared with others. */
export const defaultPrefix = '/arcus/v1/';

export const TENANT_ID = /^(?:_global|[a-z0-9][a-z0-9-]{0,62})$/;
export const WORKER_ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
export const SHA256 = /^[0-9a-f]{64}$/;

export const keys = (prefix = defaultPrefix) => ({
  blob: (sha256: string) => `${prefix}blobs/${sha256}`,
  manifest: (tenant: string, version: number) => `${prefix}manifests/${tenant}/${version}`,
  head: (tenant: string) => `${prefix}heads/${tenant}`,
  heads: `${prefix}heads/`,
  worker: (id: string) => `${prefix}workers/${id}`,
  workers: `${prefix}workers/`,
  /** The worker first: a role can then allow each worker its own statuses only (docs/guides/etcd-access.md). */
  status: (worker: string, tenant: string) => `${prefix}status/${worker}/${tenant}`,
});
