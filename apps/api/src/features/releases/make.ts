/** Makes a release of a document, without storing anything. */
import { type Manifest, SCHEMA } from '@arcus/control/release.ts';
import { type Cut, cut, DocumentTooLarge } from '@arcus/control/sections.ts';
import { Problem } from '../../http/problem.ts';
import type { Document } from './document.ts';
import type { ChangeRequest } from './request.ts';
import type { TenantState } from './state.ts';

/** What a release is, before it is stored. */
export const manifestOf = (
  { tenant_id, actor, message }: Pick<ChangeRequest, 'tenant_id' | 'actor' | 'message'>,
  version: number,
  { sections, checksum }: Cut,
  at: Date,
): Manifest => ({
  ...{ schema: SCHEMA, tenant: tenant_id, version, sections, checksum, author: actor, message },
  created_at: at.toISOString(),
});

export interface Made {
  cut: Cut;
  manifest: Manifest;
  /** Blobs that the release before did not have. */
  fresh: Map<string, Uint8Array>;
}

/** Throws Problem 'conflict' when a new release has to wait for somebody's decision about the one before. */
export function demandFree(
  { publish, takesOver }: Pick<ChangeRequest, 'publish' | 'takesOver'>,
  { row, release }: TenantState,
): void {
  const extra = { version: row.version, stable_version: row.stable_version };
  if (row.rollout_id !== null && (takesOver === undefined || publish === 'hold')) {
    const detail = `release ${row.version} is being rolled out: promote or abort it first`;
    throw new Problem('conflict', detail, { extra: { ...extra, rollout: row.rollout_id } });
  }
  if (publish === 'hold' && release === null) {
    throw new Problem('conflict', 'the first release cannot be held: nothing else is there to be served meanwhile');
  }
  if (publish === undefined && row.version !== row.stable_version) {
    const detail =
      `release ${row.version} is held, and ${row.stable_version} is served: ?publish=now publishes what it holds with ` +
      'this change, ?publish=hold holds this change, too; or roll it out, or roll back, first';
    throw new Problem('conflict', detail, { extra });
  }
}

/** Throws Problem 'conflict' when workers shall be waited for that are told nothing: what is held stays held. */
export function demandServed({ acked }: Pick<ChangeRequest, 'acked'>, { row }: TenantState): void {
  if (acked !== true || row.version === row.stable_version) return;
  const { version, stable_version, rollout_id } = row;
  const detail =
    rollout_id === null
      ? `release ${version} is held, and ${stable_version} is served: nothing goes out that a worker could answer for. ` +
        '?publish=now publishes it; or roll it out, or roll back; or do not wait'
      : `release ${version} is being rolled out: nothing else goes out that a worker could answer for`;
  const extra = { version, stable_version, state: 'held', ...(rollout_id === null ? {} : { rollout: rollout_id }) };
  throw new Problem('conflict', detail, { extra });
}

/** Why a write that does not say whether to publish would have to wait; null: it need not. */
export function waitsFor(state: TenantState): string | null {
  try {
    demandFree({}, state);
    return null;
  } catch (error) {
    return (error as Problem).message;
  }
}

/** What the document is as a release: its parts, of which those of the release before are known. */
export async function makeRelease(
  request: ChangeRequest,
  before: TenantState,
  document: Document,
  at: Date,
  version: number,
): Promise<Made> {
  const parts = await cut(document, before.memory ?? undefined).catch((error) => {
    if (!(error instanceof DocumentTooLarge)) throw error;
    const faults = [{ pointer: error.path, message: error.message, code: 'too_large' }];
    throw new Problem('invalid', error.message, { faults });
  });
  const known = new Set(before.release?.manifest.sections.flatMap((section) => section.blobs));
  const fresh = new Map([...parts.blobs].filter(([name]) => !known.has(name)));
  return { cut: parts, manifest: manifestOf(request, version, parts, at), fresh };
}
