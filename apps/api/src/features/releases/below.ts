/**
 * The tenant's own fields in a release of what is stable, while a newer release is held: a tenant must be suspended at
 * once, whoever has yet to decide about its config.
 */
import type { Manifest } from '@arcus/control/release.ts';
import { cut } from '@arcus/control/sections.ts';
import type { TenantInfo } from '@arcus/gateway/config.ts';
import type { Db } from '../../db/open.ts';
import { readRelease } from './history.ts';
import { type Made, manifestOf } from './make.ts';
import type { ChangeRequest } from './request.ts';
import type { TenantState } from './state.ts';

/** Its version is the next one; the held release comes after it. The config is served already: it is not checked again. */
export async function releaseBelow(
  db: Db,
  request: ChangeRequest,
  { row, memory }: TenantState,
  tenant: TenantInfo,
  at: Date,
): Promise<Made> {
  const stable = await readRelease(db, row.tenant_id, row.stable_version);
  const parts = await cut({ tenant, config: stable.document.config }, memory ?? undefined);
  const { sections } = JSON.parse(stable.row.manifest) as Manifest;
  const known = new Set(sections.flatMap((section) => section.blobs));
  const fresh = new Map([...parts.blobs].filter(([name]) => !known.has(name)));
  return { cut: parts, manifest: manifestOf(request, row.version + 1, parts, at), fresh };
}
