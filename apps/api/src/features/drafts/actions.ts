/** What turns a draft into a release, or says what would. */
import { entriesOf } from '@arcus/gateway/check.ts';
import type { FastifyRequest } from 'fastify';
import type { Context } from '../../deps.ts';
import { invalid, Problem } from '../../http/problem.ts';
import { originOf } from '../../http/write.ts';
import type { Changed, NewRollout, Origin } from '../releases/request.ts';
import { conflictProblem, type DraftView } from './drafts.ts';
import { CONFLICTS, type Conflict, type DraftFamily, overlay } from './overlay.ts';

interface Ask {
  tenant_id: string;
  draft: string;
  /** Only changes of these families; all if absent. */
  scopes: readonly DraftFamily[] | undefined;
  message: string | undefined;
  publish?: Origin['publish'];
  wait?: 'acked' | undefined;
  rollout?: NewRollout | undefined;
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
    rollout: ask.rollout,
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
  const selected = { changes, ...(await overlay(view.live.document.config, changes)) };
  // A rebase helps with what was changed outside of the draft, not with what was left out of it.
  const own = new Set(view.conflicts.map((conflict) => conflict.pointer));
  const torn = scopes && own.size < CONFLICTS ? selected.conflicts.filter(({ pointer }) => !own.has(pointer)) : [];
  if (torn.length > 0) throw incomplete(torn, scopes!);
  return selected;
}

/** A user and its group cannot always go apart. */
function incomplete(torn: readonly Conflict[], scopes: readonly DraftFamily[]): Problem {
  const said = scopes.includes('users')
    ? (user: string) => `the scope lacks user_groups: the draft makes or changes the group of ${user}, too`
    : (user: string) => `the scope lacks users: the draft deletes the group of ${user}, and that user with it`;
  return invalid(
    torn.map(({ pointer }) => ({ pointer: '/scopes', code: 'scope_incomplete', message: said(pointer.slice(1)) })),
  );
}

/** Pointers are into the config as the draft shows it. */
const editOf = (view: DraftView, { config }: Selected) => ({
  tenant: view.live.document.tenant,
  entries: entriesOf(config),
  faults: [],
  locate: (pointer: string) => pointer,
});

const origin = (request: FastifyRequest, { draft, message, publish, wait }: Ask, own: string) =>
  originOf(request, {
    message: (message ?? (own === '' ? `draft ${draft}` : `${draft}: ${own}`)).slice(0, 1024),
    ...{ publish, wait },
  });
