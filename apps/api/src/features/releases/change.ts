/**
 * How everything of a tenant is changed: one function. What costs time (parse, check, hash, seal, compile, cut) happens
 * before the transaction; the transaction locks the tenant's row, makes sure that nothing changed in between, and writes
 * rows, audit event, blobs and release together. Nothing is stored of what has a fault.
 */
import { canonical } from '@arcus/control/canonical.ts';
import { fault } from '@arcus/control/faults.ts';
import type { Sealer } from '@arcus/control/seal.ts';
import type { Graph } from '@arcus/gateway/compile.ts';
import { FaultError } from '@arcus/gateway/fault.ts';
import { runSliced } from '@arcus/gateway/slices.ts';
import { Mutexes } from '../../db/mutex.ts';
import type { Db } from '../../db/open.ts';
import { notFound, Problem } from '../../http/problem.ts';
import { releaseBelow } from './below.ts';
import { commit, commitUnchanged } from './commit.ts';
import { DryRun } from './compile.ts';
import type { Document } from './document.ts';
import { examine, type Refuse, refusal } from './examine.ts';
import { headOf, refOf } from './head.ts';
import { Moved } from './lock.ts';
import { demandFree, demandServed, type Made, makeRelease } from './make.ts';
import { nextRow } from './next.ts';
import { promoteHeld } from './promote.ts';
import type { Changed, ChangeRequest } from './request.ts';
import { changingRows, type RowChanges } from './rows.ts';
import { States, type TenantState, unborn } from './state.ts';

export interface ChangeDeps {
  readonly db: Db;
  readonly sealer: Sealer;
  readonly now: () => number;
}

/** Several processes of the management service may race for one tenant; each round somebody gets through. */
const ROUNDS = 50;

export class Changes {
  readonly states: States;
  readonly #deps: ChangeDeps;
  readonly #dry: DryRun;
  readonly #writers = new Mutexes();

  constructor(deps: ChangeDeps) {
    this.#deps = deps;
    this.states = new States(deps.db);
    this.#dry = new DryRun(deps.sealer, deps.now);
  }

  /**
   * Applies a change to a tenant: all of it or nothing. Throws Problem: not_found, conflict, invalid with all faults,
   * or what `edit` throws.
   */
  apply(request: ChangeRequest): Promise<Changed> {
    return this.#writers.run(request.tenant_id, async () => {
      const changed = await this.#fromMemory(request);
      if (changed) return changed;
      for (let round = 1; ; round++) {
        try {
          return await this.#attempt(request, null);
        } catch (error) {
          if (!(error instanceof Moved) || round === ROUNDS) throw error;
        }
      }
    });
  }

  /**
   * Without asking the database first how the tenant is: the transaction finds out when it changed meanwhile. Null: so
   * it did, or nothing is known. What is only said, not written, is held against the database before it counts.
   */
  async #fromMemory(request: ChangeRequest): Promise<Changed | null> {
    const { tenant_id, create, dryRun, also } = request;
    const known = this.states.peek(tenant_id);
    if (!known || create || dryRun || also) return null;
    const stillSo = async () => (await this.states.load(tenant_id)) === known;
    try {
      const changed = await this.#attempt(request, known);
      return changed.state !== known || (await stillSo()) ? changed : null;
    } catch (error) {
      if (error instanceof Moved || (error instanceof Problem && !(await stillSo()))) return null;
      throw error;
    }
  }

  /** Runs `work` while no change of this tenant is under way in this process. */
  exclusively<T>(tenant_id: string, work: () => Promise<T>): Promise<T> {
    return this.#writers.run(tenant_id, work);
  }

  close(): void {
    this.states.close();
    this.#dry.close();
  }

  async #attempt(request: ChangeRequest, known: TenantState | null): Promise<Changed> {
    const at = new Date(this.#deps.now());
    const before = known ?? (await this.#begin(request, at));
    const edit = await request.edit(before);
    const refuse = refusal(edit);
    const document = await examine(this.#deps, request.tenant_id, before, edit);
    const old = before.document;
    const unchanged = document.config === old.config && canonical(document.tenant) === canonical(old.tenant);
    const moved = edit.placement !== undefined && canonical(edit.placement) !== canonical(before.row.placement);
    const sameOwn = !moved && canonical(edit.metadata ?? before.row.metadata) === canonical(before.row.metadata);
    const releases = !unchanged || before.release === null || request.force === true || edit.brake !== undefined;
    const promotes = !releases && !request.dryRun && request.publish === 'now' && isHeld(before);
    const enters = edit.placement !== undefined && (moved || before.row.moved_at !== null);
    if (!releases && !promotes && !enters && !request.dryRun) demandServed(request, before);
    const nothing = { before, rows: noRows, release: null, moved: false, enters, below: null };
    if (unchanged && sameOwn && !request.create && !request.force && !edit.brake && !promotes) {
      const state = request.dryRun ? before : await commitUnchanged(this.#deps.db, request, before, at);
      return { ...nothing, state };
    }

    const brake = releases && !request.dryRun ? edit.brake : undefined;
    const beneath = brake !== undefined && isHeld(before);
    if (beneath) request = { ...request, publish: 'hold', takesOver: brake };
    else if (brake !== undefined) request = { ...request, publish: 'now' };
    else if (promotes || (moved && !request.dryRun && before.row.rollout_id !== null)) demandFree(request, before);
    if (promotes) request = { ...request, also: promoting(request, before) };
    let graph: Graph | null = before.graph;
    try {
      let made: Made | null = null;
      let below: Made | null = null;
      if (releases) {
        if (!request.dryRun && brake === undefined) demandFree(request, before);
        graph = await this.#compile(document, before, refuse);
        if (beneath) below = await releaseBelow(this.#deps.db, request, before, document.tenant, at);
        made = await makeRelease(request, before, document, at, before.row.version + (below ? 2 : 1));
      }
      if (request.dryRun) {
        if (graph !== before.graph) graph?.retire();
        return { ...nothing, state: { ...before, document } };
      }
      const changes = await runSliced(changingRows(old.config, document.config));
      const row = nextRow(request, before, edit, document, changes, { made, below, promotes, at });
      await commit(this.#deps.db, { request, before, document, row, changes, made, below, at, refuse });
      fault('publish.after-commit');
      const state: TenantState = {
        row,
        document,
        release: made ? { checksum: made.cut.checksum, manifest: made.manifest } : before.release,
        graph,
        memory: made?.cut.memory ?? before.memory,
        revisions: revisionsAfter(before, changes, row.changes),
      };
      this.states.keep(state);
      const head = request.publish === 'hold' || !made ? null : headOf(row, refOf(made.manifest));
      return {
        state,
        before,
        rows: changes,
        release: made && { manifest: made.manifest, blobs: made.fresh, head },
        moved,
        enters: enters && row.moved_at !== null,
        below: below?.manifest.version ?? null,
      };
    } catch (error) {
      if (graph !== before.graph) graph?.retire();
      throw error;
    }
  }

  async #compile(document: Document, before: TenantState, refuse: Refuse): Promise<Graph> {
    try {
      return await this.#dry.compile(document, before.row.version + 1, before.graph);
    } catch (error) {
      // Its faults point into canonical order, which is only nearly what was sent.
      throw error instanceof FaultError ? refuse(error.faults, document.config) : error;
    }
  }

  async #begin(request: ChangeRequest, at: Date): Promise<TenantState> {
    const state = await this.states.load(request.tenant_id);
    if (request.create) {
      if (state) throw new Problem('conflict', 'A tenant with this id exists already');
      return unborn(this.#deps.db, request.tenant_id, at);
    }
    if (!state) throw notFound('tenant', request.tenant_id);
    return state;
  }
}

const isHeld = ({ row }: TenantState): boolean => row.version !== row.stable_version;

const promoting =
  (request: ChangeRequest, { row }: TenantState): NonNullable<ChangeRequest['also']> =>
  async (tx, at) => {
    await promoteHeld(tx, request, row, at);
    await request.also?.(tx, at);
  };

const noRows: RowChanges = { resources: { put: [], removed: [] }, users: { put: [], removed: [] } };

function revisionsAfter(before: TenantState, { resources }: RowChanges, changes: number): Map<string, number> {
  const revisions = new Map(before.revisions);
  for (const { family, name } of resources.removed) revisions.delete(`${family}/${name}`);
  for (const { family, object } of resources.put) revisions.set(`${family}/${object.name}`, changes);
  return revisions;
}
