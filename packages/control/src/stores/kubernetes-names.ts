/** How Arcus' things are called in a Kubernetes namespace, and what the objects look like. */
import { z } from 'zod';
import { sha256 } from '../canonical.ts';
import { SHA256, TENANT_ID, WORKER_ID } from '../keys.ts';

/** A namespace: a DNS label (RFC 1123). */
export const NAMESPACE = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

/**
 * Objects over which a worker spreads its statuses. A bound, whatever the number of tenants: with 10,000 of them one
 * object holds 156, about 6 KB, and a release writes one of them anew.
 */
export const SHARDS = 64;

export const RECORD = 'arcus/record';
export const STATUSES = 'arcus/statuses';

export function labelsOf(kind: 'head' | 'manifest' | 'blob' | 'worker' | 'status'): Record<string, string> {
  return { 'app.kubernetes.io/managed-by': 'arcus', 'arcus/kind': kind };
}

const HEAD = 'arcus-head-';

/** Names may neither hold "_" nor end in "-"; tenants never hold ".". */
export function headName(tenant: string): string {
  const name = readable(tenant);
  return name.endsWith('-') ? `${HEAD}${name}0.dash` : `${HEAD}${name}`;
}

/** The tenant of a head, or null when this is no head's name. */
export function tenantOf(name: string): string | null {
  const rest = name.startsWith(HEAD) ? name.slice(HEAD.length).replace(/-0\.dash$/, '-') : '';
  const tenant = rest === '-global' ? '_global' : rest;
  return TENANT_ID.test(tenant) && headName(tenant) === name ? tenant : null;
}

export const manifestName = (tenant: string, version: number) =>
  `arcus-manifest-${readable(tenant)}-${Math.trunc(version)}`;

export const blobName = (hash: string) => `arcus-blob-${checked(SHA256, hash)}`;

export const workerName = (id: string) => `arcus-worker-${workerPart(id)}`;

export const statusName = (shard: string, id: string) => `arcus-status-${shard}-${workerPart(id)}`;

/** Two digits: the same for a tenant everywhere and for ever. */
export function shardOf(tenant: string): string {
  return String(Number.parseInt(sha256(checked(TENANT_ID, tenant)).slice(0, 8), 16) % SHARDS).padStart(2, '0');
}

function readable(tenant: string): string {
  return checked(TENANT_ID, tenant) === '_global' ? '-global' : tenant;
}

/** A pod's name stays as it is; whatever else an id may hold becomes a hash, which a "." tells from the others. */
function workerPart(id: string): string {
  const plain = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/.test(checked(WORKER_ID, id));
  return plain ? id : `h.${sha256(id).slice(0, 32)}`;
}

function checked(pattern: RegExp, name: string): string {
  if (!pattern.test(name)) throw new TypeError(`${JSON.stringify(name)} is no name for this`);
  return name;
}

// Not strict: an API server adds fields of its own, more with each release.
export const Meta = z.object({
  name: z.string(),
  uid: z.string(),
  resourceVersion: z.string(),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});
export type Meta = z.output<typeof Meta>;

export const ConfigMap = z.object({
  metadata: Meta,
  data: z.record(z.string(), z.string()).optional(),
  binaryData: z.record(z.string(), z.string()).optional(),
});
export type ConfigMap = z.output<typeof ConfigMap>;

export const Lease = z.object({
  metadata: Meta,
  spec: z
    .object({
      holderIdentity: z.string().optional(),
      leaseDurationSeconds: z.int().optional(),
      renewTime: z.string().optional(),
    })
    .optional(),
});
export type Lease = z.output<typeof Lease>;

export const AnyObject = z.object({ metadata: Meta });
