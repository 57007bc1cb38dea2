/** A tenant's head as the database has it: the store's can be made again from this at any time, byte for byte. */

import { manifestHash } from '@arcus/control/publish.ts';
import { type HeadBody, type Labels, Manifest, type ReleaseRef, SCHEMA, type Subset } from '@arcus/control/release.ts';
import type { Db } from '../../db/open.ts';
import type { TenantRow } from './state.ts';

/** The number of the head after `seq`: about the time, so that it goes on where a lost database left off. */
export const nextSeq = (seq: bigint, now: number): bigint => {
  const time = BigInt(now);
  return seq + 1n > time ? seq + 1n : time;
};

/** So long a deleted tenant's head says so; whoever was away for longer has to start anew. */
export const KEEP_DELETED_MS = 30 * 86_400_000;

export function headOf(row: TenantRow, stable: ReleaseRef, rollout?: HeadBody['rollout']): HeadBody {
  const placement = placementOf(row);
  return {
    schema: SCHEMA,
    tenant: row.tenant_id,
    seq: Number(row.seq),
    stable,
    ...(rollout && { rollout }),
    ...(placement && { placement }),
  };
}

/** Where the tenant runs now; while it moves also where it ran before. Undefined: everywhere. */
export function placementOf(row: Pick<TenantRow, 'placement' | 'leaving'>): HeadBody['placement'] {
  const all = [row.placement as Labels | null, ...((row.leaving ?? []) as (Labels | null)[])];
  return all.some((labels) => labels === null) ? undefined : { any: all as Labels[] };
}

/** A step of a rollout: the workers with these labels, or this percent of the fleet. */
export type Step = { percent: number } | { labels: Labels };

/** Who is in a rollout at this step. Nobody who was in leaves. */
export function subsetAt(steps: readonly Step[], step: number): Subset {
  const subset: Subset = {};
  for (const one of steps.slice(0, step + 1)) Object.assign(subset, one);
  return subset;
}

export interface WantedHead {
  readonly head: HeadBody;
  /** Of the releases that it names. */
  readonly manifests: readonly Manifest[];
}

/** The head that a tenant shall have; null for one without a release, and for one that does not exist. */
export async function wantedHead(client: Db['client'], tenant_id: string): Promise<WantedHead | null> {
  for (;;) {
    const row = await client.tenant.findUnique({ where: { tenant_id } });
    if (!row || row.stable_version === 0) return null;
    const active = row.rollout_id ? await client.rollout.findUnique({ where: { rollout_id: row.rollout_id } }) : null;
    const again = row.rollout_id
      ? await client.tenant.findUnique({ where: { tenant_id }, select: { changes: true } })
      : row;
    // Rows of two moments: somebody wrote in between.
    if (again?.changes !== row.changes) continue;
    const stable = await manifestOf(client, tenant_id, row.stable_version);
    if (!stable) return null;
    if (!active) return { head: headOf(row, refOf(stable)), manifests: [stable] };
    const next = await manifestOf(client, tenant_id, active.version);
    if (!next) throw new Error(`release ${active.version} of ${tenant_id}, which is rolled out, is missing`);
    const subset = subsetAt(active.steps as unknown as Step[], active.step);
    const rollout = { ...refOf(next), id: active.rollout_id, subset };
    return { head: headOf(row, refOf(stable), rollout), manifests: [stable, next] };
  }
}

/** The head that says that a tenant is gone; null when there is nothing to say, or not any more. */
export async function tombstoneOf(client: Db['client'], tenant_id: string, now: number): Promise<HeadBody | null> {
  const row = await client.deletedTenant.findUnique({ where: { tenant_id } });
  if (!row || row.version === 0 || row.deleted_at.getTime() < now - KEEP_DELETED_MS) return null;
  const { version, manifest, seq } = row;
  return { schema: SCHEMA, tenant: tenant_id, seq: Number(seq), stable: { version, manifest }, deleted: true };
}

export const refOf = (manifest: Manifest): ReleaseRef => ({
  version: manifest.version,
  manifest: manifestHash(manifest),
});

async function manifestOf(client: Db['client'], tenant_id: string, version: number): Promise<Manifest | null> {
  const where = { tenant_id_version: { tenant_id, version } };
  const row = await client.release.findUnique({ where, select: { manifest: true } });
  return row && Manifest.parse(JSON.parse(row.manifest));
}
