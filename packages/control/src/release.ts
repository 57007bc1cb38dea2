/** What api and worker agree on: the shapes that go through a config store. Unknown keys and newer schemas are refused. */
import { z } from 'zod';
import { SHA256, TENANT_ID, WORKER_ID } from './keys.ts';

export const SCHEMA = 1;

const Sha256 = z.string().regex(SHA256);
const Version = z.int().min(1);

/** One part of a release's document. `path` is a JSON Pointer into it; `blobs`, joined in order, are its content. */
export const Section = z.strictObject({
  path: z.string().describe('JSON Pointer of the part of the document that this section holds'),
  blobs: z.array(Sha256).describe('One blob with the whole value, or the shards of a long list, in order'),
  list: z.boolean().describe('True when each blob is a part of a list'),
});
export type Section = z.output<typeof Section>;

/** Immutable: names all blobs of one release. */
export const Manifest = z.strictObject({
  schema: z.literal(SCHEMA),
  tenant: z.string().regex(TENANT_ID),
  version: Version,
  sections: z.array(Section),
  /** SHA-256 of the canonical JSON of the whole document. */
  checksum: Sha256,
  author: z.string().max(255),
  message: z.string().max(1024),
  created_at: z.iso.datetime(),
});
export type Manifest = z.output<typeof Manifest>;

/** Which release a tenant runs. */
export const Head = z.strictObject({
  schema: z.literal(SCHEMA),
  stable: z.strictObject({ version: Version, manifest: Sha256.describe("SHA-256 of the manifest's canonical JSON") }),
});
export type Head = z.output<typeof Head>;

export const Issue = z.strictObject({ pointer: z.string(), message: z.string(), code: z.string() });

/** A worker's answer for one tenant; one small key each, so that a change costs what changed. */
export const TenantStatus = z.strictObject({
  /** The version that serves now, 0 when none does. */
  applied: z.int().min(0),
  /** Set when a newer release was refused: which, and why. */
  refused: z.strictObject({ version: Version, issues: z.array(Issue) }).optional(),
});
export type TenantStatus = z.output<typeof TenantStatus>;

/** What a worker says of itself; lives as long as its lease. */
export const WorkerRecord = z.strictObject({
  schema: z.literal(SCHEMA),
  id: z.string().regex(WORKER_ID),
  labels: z.record(z.string(), z.string()),
  host: z.string(),
  pid: z.int(),
  software: z.string().describe('Version of Arcus'),
  started_at: z.iso.datetime(),
  reported_at: z.iso.datetime(),
  admin: z.string().describe('host:port of its admin listener'),
  tenants: z.int().describe('How many tenants it serves'),
  refused: z.int().describe('For how many of them it refused the newest release'),
});
export type WorkerRecord = z.output<typeof WorkerRecord>;
