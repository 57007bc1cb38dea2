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
  /** SHA-256 of the canonical JSON of `sections`: documents that differ have different ones. */
  checksum: Sha256,
  author: z.string().max(255),
  message: z.string().max(1024),
  created_at: z.iso.datetime(),
});
export type Manifest = z.output<typeof Manifest>;

/** A release, named so that nothing else can stand in for it. */
export const ReleaseRef = z.strictObject({
  version: Version,
  manifest: Sha256.describe("SHA-256 of the manifest's canonical JSON"),
});
export type ReleaseRef = z.output<typeof ReleaseRef>;

/** What selectors ask for: a head has several of them, and is small. */
export const Labels = z
  .record(
    z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_./-]{0,62}$/, 'is no name of a label'),
    z.string().regex(/^[A-Za-z0-9_.-]{0,63}$/, 'is no value of a label'),
  )
  .refine((labels) => Object.keys(labels).length <= 16, 'has more than 16 labels');
export type Labels = z.output<typeof Labels>;

/** A part of the fleet: who has all these labels, and a stable `percent` of the others. */
export const Subset = z
  .strictObject({
    percent: z.number().min(0).max(100).optional().describe('Percent of the fleet, by hash of the worker id'),
    labels: Labels.optional().describe('All of them must match; at most 16'),
  })
  .refine(({ percent, labels }) => percent !== undefined || labels !== undefined, 'needs percent or labels');
export type Subset = z.output<typeof Subset>;

/** Which release a tenant runs, and where, before it is signed. */
export const HeadBody = z.strictObject({
  schema: z.literal(SCHEMA),
  tenant: z.string().regex(TENANT_ID),
  seq: z.int().min(1).describe('Grows with every head of the tenant: an older one can be told from a newer one'),
  stable: ReleaseRef,
  rollout: ReleaseRef.extend({ id: z.string().min(1).max(64), subset: Subset })
    .optional()
    .describe('What a part of the fleet runs instead'),
  placement: z
    .strictObject({ any: z.array(Labels).min(1).max(16).describe('One of these must match') })
    .optional()
    .describe('Which workers run the tenant; absent: all'),
  deleted: z.literal(true).optional().describe('The tenant is gone'),
});
export type HeadBody = z.output<typeof HeadBody>;

/** A head as it lies in the store. Whoever acts on one checks its signature first (sign.ts). */
export const Head = HeadBody.extend({
  signature: z.strictObject({
    key: z
      .string()
      .regex(/^[0-9a-f]{16}$/)
      .describe('Which key: the first 16 hex digits of the SHA-256 of its SPKI'),
    value: z
      .string()
      // 64 bytes, and no second spelling of them: the last digit holds two bits.
      .regex(/^[A-Za-z0-9_-]{85}[AQgw]$/, 'is no signature')
      .describe('Ed25519 over the canonical JSON of the rest, base64url'),
  }),
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
  processes: z.int().min(1).optional().describe('How many processes it is'),
  store_seen_at: z.iso.datetime().optional().describe('When the store last told it something: how old its view is'),
  left: z.literal(true).optional().describe('It stopped as it should, and is not lost'),
});
export type WorkerRecord = z.output<typeof WorkerRecord>;
