/** Drafts: made, read, written, rebased and thrown away. Nothing here makes a release; `apply` is in actions.ts. */
import { configOf } from '@arcus/gateway/config.ts';
import { type Fault, pointer } from '@arcus/gateway/fault.ts';
import { families } from '@arcus/gateway/kind.ts';
import { Mutexes } from '../../db/mutex.ts';
import type { Db, Tx } from '../../db/open.ts';
import { isPrismaError } from '../../db/open.ts';
import { invalid, notFound, Problem } from '../../http/problem.ts';
import { audit, auditConfig } from '../audit/record.ts';
import type { ChangeDeps, Changes } from '../releases/change.ts';
import { find, holdsUsers, indexOf, objectsOf } from '../releases/document.ts';
import { relocated } from '../releases/examine.ts';
import { Moved } from '../releases/lock.ts';
import type { Origin } from '../releases/request.ts';
import { rowChanges } from '../releases/rows.ts';
import { protect } from '../releases/secrets.ts';
import { diffList, share } from '../releases/share.ts';
import type { TenantState } from '../releases/state.ts';
import { mustExist, tagsOf } from '../targets/live.ts';
import type { Tags, Write } from '../targets/target.ts';
import { type Change, type Conflict, changesOf, type DraftUser, hashOf, keyOf, overlay, partOf } from './overlay.ts';
import { type DraftRow, lockDraft, putChanges, readDraft, removeChanges } from './rows.ts';

/** A draft that nobody writes to for this long goes away, ms. */
export const DRAFT_LIFE = 30 * 24 * 3600 * 1000;
/** Drafts whose changes are kept in memory. */
const KEPT = 32;
const ROUNDS = 20;

/** A draft over the live config of one moment. */
export interface DraftView {
  readonly row: DraftRow;
  readonly changes: ReadonlyMap<string, Change>;
  readonly live: TenantState;
  /** The tenant as it would be with the draft applied. */
  readonly state: TenantState;
  readonly conflicts: readonly Conflict[];
}

export class Drafts {
  readonly #db: Db;
  readonly #deps: ChangeDeps;
  readonly #live: Changes;
  readonly #writers = new Mutexes();
  readonly #kept = new Map<string, { row: DraftRow; changes: ReadonlyMap<string, Change> }>();

  constructor(deps: ChangeDeps & { changes: Changes }) {
    this.#db = deps.db;
    this.#deps = deps;
    this.#live = deps.changes;
  }

  /** 409 when there is one of this name. */
  async create(tenant_id: string, name: string, origin: Origin): Promise<DraftRow> {
    const at = this.#now();
    const live = await this.#live.states.load(tenant_id);
    if (!live) throw notFound('tenant', tenant_id);
    const data = {
      ...{ tenant_id, name, message: origin.message, author: origin.actor, base_version: live.row.version },
      ...{ changes: 0, created_at: at, updated_at: at, expires_at: new Date(at.getTime() + DRAFT_LIFE) },
    };
    try {
      await this.#db.write(async (tx) => {
        await tx.draft.deleteMany({ where: { tenant_id, name, expires_at: { lte: at } } });
        await tx.draft.createMany({ data });
        await this.#audit(tx, data, origin, 'draft.create', { before: null, after: { message: data.message } });
      });
    } catch (error) {
      if (isPrismaError(error, 'P2002')) throw new Problem('conflict', `The draft "${name}" exists already`);
      // The tenant was deleted meanwhile.
      if (isPrismaError(error, 'P2003')) throw notFound('tenant', tenant_id);
      throw error;
    }
    return data;
  }

  /** Throws 404. Over `live`, or over what is live now. */
  async view(tenant_id: string, name: string, live?: TenantState | null): Promise<DraftView> {
    const key = keyOf(tenant_id, name);
    const found = await readDraft(this.#db, tenant_id, name, this.#kept.get(key));
    this.#kept.delete(key);
    if (!found || found.row.expires_at <= this.#now()) throw await this.#missing(tenant_id, name);
    this.#keep(key, found);
    live ??= await this.#live.states.load(tenant_id);
    if (!live) throw notFound('tenant', tenant_id);
    return viewOf(found.row, found.changes, live);
  }

  async #missing(tenant_id: string, name: string): Promise<Problem> {
    await mustExist({ db: this.#db }, tenant_id);
    return notFound('draft', name);
  }

  /** Of what is in a view. A changed object's tag never was that of a live one. */
  tags(view: DraftView): Tags {
    const live = tagsOf({ db: this.#db }, view.live);
    const config = view.state.document.config;
    const of = async (family: Change['family'], name: string, otherwise: () => ReturnType<Tags['user']>) => {
      if (partOf(config, family, name) === null) return null;
      const change = view.changes.get(keyOf(family, name));
      return change ? `${born(view.row)}.${change.revision}` : otherwise();
    };
    return {
      config: `${draftTag(view.row)}-${view.live.row.config_revision}`,
      object: (family, name) => of(family, name, () => live.object(family, name)),
      user: (username) => of('users', username, () => live.user(username)),
    };
  }

  /** Puts an edit's objects into the draft. Objects have to be right by themselves; the whole is looked at by validate. */
  write(tenant_id: string, name: string, origin: Omit<Origin, 'message'>, write: Write): Promise<DraftView> {
    return this.#inTurn(tenant_id, name, async () => {
      const view = await this.view(tenant_id, name);
      const before = view.state.document.config;
      const edit = await write.edit(view.state, this.tags(view));
      const locate = edit.locate ?? ((at: string) => `/config${at}`);
      const refuse = (faults: readonly Fault[]) =>
        faults.length > 0 ? invalid(faults.map((fault) => ({ ...fault, pointer: locate(fault.pointer) }))) : null;

      const shared = share(before, configOf(edit.entries));
      let problem = refuse([...edit.faults, ...duplicates(before, shared)]);
      if (problem) throw problem;
      const { config, faults } = await protect(this.#deps.sealer, tenant_id, before, shared);
      problem = refuse(faults.map((f) => ({ ...f, pointer: relocated(f.pointer, shared, edit.entries) })));
      if (problem) throw problem;
      const after = share(before, config);
      if (after === before) return view;

      const at = this.#now();
      const changed = await changesOf(
        ...([view.live.document.config, before, after, view.changes, view.row.changes + 1, at] as const),
      );
      const audited = auditConfig(before, after, rowChanges(before, after));
      return this.#store(view, changed, { ...origin, message: '' }, `draft.${write.action}`, {
        target: `drafts/${name}/${write.target}`,
        ...audited,
      });
    });
  }

  /**
   * Makes the draft one of the live config of now: changes that are live already are dropped. Conflicts are settled as
   * `prefer` says, and are refused without it (409).
   */
  rebase(tenant_id: string, name: string, origin: Origin, prefer: 'draft' | 'live' | undefined): Promise<DraftView> {
    return this.#inTurn(tenant_id, name, async () => {
      const view = await this.view(tenant_id, name);
      const live = view.live.document.config;
      const changes = new Map(view.changes);
      const revision = view.row.changes + 1;
      let { conflicts } = await overlay(live, changes.values(), Number.POSITIVE_INFINITY);
      // Once for what was changed on both sides, once for what that laid open.
      for (let round = 0; round < 3 && conflicts.length > 0 && prefer !== undefined; round++) {
        for (const conflict of conflicts) settle(live, changes, conflict, prefer, revision, this.#now());
        ({ conflicts } = await overlay(live, changes.values(), Number.POSITIVE_INFINITY));
      }
      if (conflicts.length > 0) throw conflictProblem(name, conflicts.slice(0, 100));
      for (const [key, change] of changes) {
        if (hashOf(change.object) === hashOf(partOf(live, change.family, change.name))) changes.delete(key);
      }
      const put = [...changes].filter(([key, change]) => view.changes.get(key) !== change).map(([, change]) => change);
      const removed = [...view.changes].filter(([key]) => !changes.has(key)).map(([, change]) => change);
      return this.#store(
        { ...view, row: { ...view.row, base_version: view.live.row.version } },
        { put, removed },
        origin,
        'draft.rebase',
        { before: { base_version: view.row.base_version }, after: { base_version: view.live.row.version } },
      );
    });
  }

  discard(tenant_id: string, name: string, origin: Origin, demand: (row: DraftRow) => void): Promise<void> {
    return this.#inTurn(tenant_id, name, async () => {
      const row = await this.#db.client.draft.findUnique({ where: { tenant_id_name: { tenant_id, name } } });
      if (!row || row.expires_at <= this.#now()) throw await this.#missing(tenant_id, name);
      demand(row);
      await this.#db.write(async (tx) => {
        await lockDraft(this.#db, tx, row);
        await tx.draft.deleteMany({ where: { tenant_id, name } });
        await this.#audit(tx, row, origin, 'draft.discard', { before: { message: row.message }, after: null });
      });
      this.#kept.delete(keyOf(tenant_id, name));
    });
  }

  /** In the transaction that applied these changes: they leave the draft; an empty draft goes away. */
  async applied(tx: Tx, view: DraftView, changes: readonly Change[], at: Date): Promise<void> {
    const { row } = view;
    const { tenant_id, name } = row;
    await lockDraft(this.#db, tx, row);
    if (changes.length === view.changes.size) {
      await tx.draft.deleteMany({ where: { tenant_id, name } });
      return;
    }
    await removeChanges(tx, row, changes);
    await tx.draft.updateMany({
      where: { tenant_id, name },
      data: { changes: row.changes + 1, updated_at: at, expires_at: new Date(at.getTime() + DRAFT_LIFE) },
    });
  }

  /** Throws away what nobody wrote to for 30 days; answers how many. */
  async expire(): Promise<number> {
    return (await this.#db.client.draft.deleteMany({ where: { expires_at: { lte: this.#now() } } })).count;
  }

  async #store(
    view: DraftView,
    { put, removed }: { put: Change[]; removed: Change[] },
    origin: Origin,
    action: string,
    entry: { target?: string; before: unknown; after: unknown },
  ): Promise<DraftView> {
    const { tenant_id, name } = view.row;
    const at = this.#now();
    const row: DraftRow = {
      ...view.row,
      changes: view.row.changes + 1,
      updated_at: at,
      expires_at: new Date(at.getTime() + DRAFT_LIFE),
    };
    await this.#db.write(async (tx) => {
      await lockDraft(this.#db, tx, view.row);
      await removeChanges(tx, row, removed);
      await putChanges(tx, row, put);
      const { tenant_id: _, name: _1, ...data } = row;
      await tx.draft.updateMany({ where: { tenant_id, name }, data });
      await this.#audit(tx, row, origin, action, entry);
    });
    const changes = new Map(view.changes);
    for (const change of removed) changes.delete(keyOf(change.family, change.name));
    for (const change of put) changes.set(keyOf(change.family, change.name), change);
    this.#keep(keyOf(tenant_id, name), { row, changes });
    return viewOf(row, changes, view.live);
  }

  #audit(
    tx: Tx,
    { tenant_id, name }: Pick<DraftRow, 'tenant_id' | 'name'>,
    { actor, request_id }: Origin,
    action: string,
    entry: { target?: string; before: unknown; after: unknown },
  ): Promise<void> {
    return audit(
      tx,
      { tenant_id, actor, action, target: `drafts/${name}`, version: null, request_id, ...entry },
      this.#now(),
    );
  }

  #inTurn<T>(tenant_id: string, name: string, work: () => Promise<T>): Promise<T> {
    return this.#writers.run(keyOf(tenant_id, name), async () => {
      for (let round = 1; ; round++) {
        try {
          return await work();
        } catch (error) {
          // Another process was faster.
          if (!(error instanceof Moved) || round === ROUNDS) throw error;
        }
      }
    });
  }

  #keep(key: string, value: { row: DraftRow; changes: ReadonlyMap<string, Change> }): void {
    this.#kept.delete(key);
    this.#kept.set(key, value);
    if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value!);
  }

  #now(): Date {
    return new Date(this.#deps.now());
  }
}

const born = (row: DraftRow): string => row.created_at.getTime().toString(36);
/** What of a draft its writes change; never that of another draft of the same name. */
export const draftTag = (row: DraftRow): string => `${born(row)}.${row.changes}`;

async function viewOf(row: DraftRow, changes: ReadonlyMap<string, Change>, live: TenantState): Promise<DraftView> {
  const { config, conflicts } = await overlay(live.document.config, changes.values());
  return { row, changes, live, state: { ...live, document: { ...live.document, config } }, conflicts };
}

export function conflictProblem(name: string, conflicts: readonly Conflict[]): Problem {
  return new Problem('conflict', `The draft "${name}" and the live config changed the same: rebase the draft`, {
    faults: conflicts.map(({ pointer, message }) => ({ pointer, message, code: 'conflict' })),
  });
}

function settle(
  live: TenantState['document']['config'],
  changes: Map<string, Change>,
  { family, name }: Conflict,
  prefer: 'draft' | 'live',
  revision: number,
  updated_at: Date,
): void {
  const key = keyOf(family, name);
  const change = changes.get(key);
  const now = partOf(live, family, name);
  if (prefer === 'live') {
    changes.delete(key);
    // A user that the draft never saw is in the way of its group's deletion: the group stays.
    if (!change && now) changes.delete(keyOf('user_groups', (now as DraftUser).user_group));
  } else if (change) changes.set(key, { ...change, base: hashOf(now), revision, updated_at });
  else changes.set(key, { family, name, object: null, base: hashOf(now), revision, updated_at });
}

/** Two objects or users of one name cannot be told apart in a draft. `shared` is in canonical order. */
function duplicates(before: TenantState['document']['config'], shared: TenantState['document']['config']): Fault[] {
  const faults: Fault[] = [];
  const twice = (list: readonly { name: string }[], at: string, code: string) => {
    for (let i = 1; i < list.length; i++) {
      if (list[i]!.name !== list[i - 1]!.name) continue;
      faults.push({ pointer: `${at}/${i}/name`, code, message: `the name "${list[i]!.name}" stands here twice` });
    }
  };
  for (const family of families) {
    const list = objectsOf(shared, family);
    if (list !== objectsOf(before, family)) twice(list, pointer(family), 'duplicate_name');
  }
  const groups = objectsOf(shared, 'user_groups').filter(holdsUsers);
  for (const [i, group] of objectsOf(shared, 'user_groups').entries()) {
    if (!holdsUsers(group)) continue;
    const old = find(objectsOf(before, 'user_groups'), group.name);
    if (group === old) continue;
    twice(group.static_users, pointer('user_groups', i, 'static_users'), 'duplicate_user');
    // Of 100,000 users only those that changed are looked for.
    const put = diffList(old && holdsUsers(old) ? old.static_users : [], group.static_users).put;
    for (const { after: user } of put) {
      const other = groups.find((g) => g !== group && find(g.static_users, user.name));
      if (!other) continue;
      const j = indexOf(group.static_users, user.name);
      const message = `the user "${user.name}" is in the group "${other.name}" already`;
      faults.push({ pointer: pointer('user_groups', i, 'static_users', j, 'name'), code: 'duplicate_user', message });
    }
  }
  return faults;
}
