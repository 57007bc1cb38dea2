/** What turns a draft into a release, or says what would. */
import { entriesOf } from '@arcus/gateway/check.ts';
import type { FastifyRequest } from 'fastify';
import type { Context } from '../../deps.ts';
import { invalid, Problem } from '../../http/problem.ts';
import { originOf } from '../../http/write.ts';
import type { Changed, Origin } from '../releases/request.ts';
import { conflictProblem, type DraftView } from './drafts.ts';
import { type Conflict, type DraftFamily, overlay } from './overlay.ts';

interface Ask {
  tenant_id: string;
  draft: string;
  /** Only changes of these families; all if absent. */
  scopes: readonly DraftFamily[] | undefined;
  message: string | undefined;
  publish?: Origin['publish'];
  /** Throws to refuse the draft as it is. */
  demand(view: DraftView): void;
}

export interface Applied {
  changed: Changed;
  /** Changes that stay in the draft. */
  left: number;
}

/** One release of the draft's changes, atomically; they leave the draft. Throws 409 for conflicts, 422 for faults. */
export async function applyDraft(context: Context, request: FastifyRequest, ask: Ask): Promise<Applied> {
  const { changes, drafts } = context;
  const { tenant_id, draft } = ask;
  let view: DraftView;
  let selected: Selected;
  const changed = await changes.apply({
    ...origin(request, ask, (await drafts.view(tenant_id, draft)).row.message),
    tenant_id,
    action: 'draft.apply',
    target: `drafts/${draft}`,
    edit: async (state) => {
      view = await drafts.view(tenant_id, draft, state);
      ask.demand(view);
      selected = await select(view, ask.scopes);
      if (selected.conflicts.length > 0) throw conflictProblem(draft, selected.conflicts);
      return editOf(view, selected);
    },
    also: (tx, at) => drafts.applied(tx, view, selected.changes, at),
  });
  return { changed, left: view!.changes.size - selected!.changes.length };
}

/** What `applyDraft` would say now, all of it, with nothing stored: throws 422 with faults and conflicts, or 409. */
export async function validateDraft(context: Context, request: FastifyRequest, ask: Ask): Promise<Changed> {
  const { changes, drafts } = context;
  const { tenant_id, draft } = ask;
  let conflicts: readonly Conflict[] = [];
  try {
    const changed = await changes.apply({
      ...origin(request, ask, ''),
      tenant_id,
      action: 'draft.validate',
      target: `drafts/${draft}`,
      dryRun: true,
      edit: async (state) => {
        const view = await drafts.view(tenant_id, draft, state);
        ask.demand(view);
        const selected = await select(view, ask.scopes);
        conflicts = selected.conflicts;
        return editOf(view, selected);
      },
    });
    if (conflicts.length > 0) throw conflictProblem(draft, conflicts);
    return changed;
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'invalid' || conflicts.length === 0) throw error;
    throw invalid([...(error.faults ?? []), ...(conflictProblem(draft, conflicts).faults ?? [])]);
  }
}

type Selected = Awaited<ReturnType<typeof select>>;

async function select(view: DraftView, scopes: readonly DraftFamily[] | undefined) {
  const changes = [...view.changes.values()].filter(({ family }) => scopes?.includes(family) ?? true);
  return { changes, ...(await overlay(view.live.document.config, changes)) };
}

/** Pointers are into the config as the draft shows it. */
const editOf = (view: DraftView, { config }: Selected) => ({
  tenant: view.live.document.tenant,
  entries: entriesOf(config),
  faults: [],
  locate: (pointer: string) => pointer,
});

const origin = (request: FastifyRequest, { draft, message, publish }: Ask, own: string) =>
  originOf(request, {
    message: (message ?? (own === '' ? `draft ${draft}` : `${draft}: ${own}`)).slice(0, 1024),
    publish,
  });
