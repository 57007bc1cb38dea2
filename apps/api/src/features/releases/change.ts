/**
 * How everything of a tenant is changed: one function. What costs time (parse, check, hash, seal, compile, cut) happens
 * before the transaction; the transaction locks the tenant's row, makes sure that nothing changed in between, and writes
 * rows, audit event, blobs and release together. Nothing is stored of what has a fault.
 */
import { canonical } from '@arcus/control/canonical.ts';
import { fault } from '@arcus/control/faults.ts';
import { type HeadBody, type Labels, type Manifest, SCHEMA } from '@arcus/control/release.ts';
import type { Sealer } from '@arcus/control/seal.ts';
import { type Cut, cut, DocumentTooLarge } from '@arcus/control/sections.ts';
import { checking } from '@arcus/gateway/check.ts';
import type { Graph } from '@arcus/gateway/compile.ts';
import { type AnyObject, type Config, configOf, type Entry, type TenantInfo } from '@arcus/gateway/config.ts';
import { type Fault, FaultError } from '@arcus/gateway/fault.ts';
import type { Family } from '@arcus/gateway/kind.ts';
import { runSliced } from '@arcus/gateway/slices.ts';
import { Mutexes } from '../../db/mutex.ts';
import { type Db, Prisma, type Tx } from '../../db/open.ts';
import { invalid, notFound, Problem } from '../../http/problem.ts';
import { audit, auditConfig } from '../audit/record.ts';
import { abortRollout } from '../rollouts/abort.ts';
import { releaseBelow } from './below.ts';
import { DryRun } from './compile.ts';
import { type Document, holdsUsers, share } from './document.ts';
import { headOf, nextSeq, refOf } from './head.ts';
import { insertRelease, sizeOf } from './insert.ts';
import { claimsOf, conflicts, sameClaims, writeClaims } from './listen.ts';
import { type RowChanges, rowChanges, writeRows } from './rows.ts';
import { protect } from './secrets.ts';
import { type Packs, States, type TenantRow, type TenantState, unborn } from './state.ts';

/** Who wants it, and why. */
export interface Origin {
  actor: string;
  request_id: string;
  /** For the release's history. */
  message: string;
  /**
   * 'hold': the release is stored, and the one before goes on being served. 'now': what was held goes out with it. Absent:
   * as 'now', but refused while something is held.
   */
  publish?: 'now' | 'hold' | undefined;
}

/** A tenant as it shall be. */
export interface Edit {
  tenant: TenantInfo;
  /** Absent: as it is. */
  metadata?: Record<string, unknown>;
  /** Labels of the workers that shall run it; null: all. Absent: as it is. */
  placement?: Labels | null;
  /** All config objects, parsed as far as they could be. */
  entries: readonly Entry[];
  /** What parsing them found; pointers into the config that `entries` were parsed from. */
  faults: readonly Fault[];
  /** A pointer into that config as the caller knows it; `/config` + pointer when absent. */
  locate?(pointer: string): string;
  /**
   * The tenant's own fields go out at once although a release is held or rolled out, and why: in a release of what is
   * stable, below the one that stays held. A rollout is aborted with it.
   */
  brake?: string | undefined;
}

export interface ChangeRequest extends Origin {
  tenant_id: string;
  /** For the audit event. */
  action: string;
  target: string;
  /** Make the tenant: 409 when it exists. */
  create?: boolean;
  /** Everything is checked, nothing stored. */
  dryRun?: boolean;
  /** A new release even of an unchanged document. */
  force?: boolean;
  /** The version whose config the new release has again. */
  restores?: number;
  /** A rollout that is under way is aborted with this change, for this reason; absent: the change is refused. */
  takesOver?: string | undefined;
  /** Written together with the change; also when the change turns out to be none. Throws Moved to begin again. */
  also?(tx: Tx, at: Date): Promise<void>;
  /** Called again when somebody else was faster; throws Problem to refuse (preconditions). Must not store anything. */
  edit(state: TenantState): Edit | Promise<Edit>;
}

export interface Changed {
  /** The tenant after the change. */
  state: TenantState;
  before: TenantState;
  /** Which rows were written; their revision is `state.row.changes`. */
  rows: RowChanges;
  /** The release that was made, with the blobs that were not in the one before; null when none was needed. */
  release: {
    manifest: Manifest;
    blobs: ReadonlyMap<string, Uint8Array>;
    /** That makes it the stable one; null: it is held. */
    head: HeadBody | null;
  } | null;
  /** It shall run elsewhere: its head is another one, also without a release. */
  moved: boolean;
  /** The release that went out below one that stays held (`brake`). */
  below: number | null;
}

export interface ChangeDeps {
  readonly db: Db;
  readonly sealer: Sealer;
  readonly now: () => number;
}

/** Somebody else changed the tenant between reading and writing: again. */
export class Moved extends Error {}
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
    const locate = edit.locate ?? ((pointer: string) => `/config${pointer}`);
    const refuse = (faults: readonly Fault[]) =>
      invalid(faults.map((fault) => ({ ...fault, pointer: locate(fault.pointer) })));

    const document = await this.#examine(request.tenant_id, before, edit, refuse);
    const old = before.document;
    const unchanged = document.config === old.config && canonical(document.tenant) === canonical(old.tenant);
    const moved = edit.placement !== undefined && canonical(edit.placement) !== canonical(before.row.placement);
    const sameOwn = !moved && canonical(edit.metadata ?? before.row.metadata) === canonical(before.row.metadata);
    if (unchanged && sameOwn && !request.create && !request.force) {
      const { also } = request;
      if (also && !request.dryRun) await this.#deps.db.write((tx) => also(tx, at));
      return { state: before, before, rows: noRows, release: null, moved: false, below: null };
    }

    const makesRelease = !unchanged || before.release === null || request.force === true;
    const brake = makesRelease && !request.dryRun ? edit.brake : undefined;
    if (brake !== undefined) request = { ...request, publish: 'hold', takesOver: brake };
    else if (moved && !request.dryRun && before.row.rollout_id !== null) demandFree(request, before);
    let graph: Graph | null = before.graph;
    let made: Made | null = null;
    let below: Made | null = null;
    if (makesRelease) {
      if (!request.dryRun && brake === undefined) demandFree(request, before);
      // Faults of the protected document point into canonical order, which is only nearly what was sent.
      graph = await this.#compile(document, before, edit, refuse);
      try {
        if (brake !== undefined) below = await releaseBelow(this.#deps.db, request, before, document.tenant, at);
        made = await this.#make(request, before, document, at, before.row.version + (below ? 2 : 1));
      } catch (error) {
        if (graph !== before.graph) graph.retire();
        if (error instanceof DocumentTooLarge) {
          throw new Problem('invalid', error.message, {
            faults: [{ pointer: error.path, message: error.message, code: 'too_large' }],
          });
        }
        throw error;
      }
    }
    try {
      if (request.dryRun) {
        if (graph && graph !== before.graph) graph.retire();
        return { state: { ...before, document }, before, rows: noRows, release: null, moved: false, below: null };
      }
      const changes = rowChanges(old.config, document.config);
      const row = this.#nextRow(request, before, edit, document, changes, made, below, at);
      await this.#commit(request, before, row, document, changes, made, below, at, edit.entries, refuse);
      fault('publish.after-commit');
      const state: TenantState = {
        row,
        document,
        release: made ? { checksum: made.cut.checksum, manifest: made.manifest } : before.release,
        graph,
        packs: made?.packs ?? before.packs,
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
        below: below?.manifest.version ?? null,
      };
    } catch (error) {
      if (graph && graph !== before.graph) graph.retire();
      throw error;
    }
  }

  async #begin(request: ChangeRequest, at: Date): Promise<TenantState> {
    const state = await this.states.load(request.tenant_id);
    if (request.create) {
      if (state) throw new Problem('conflict', 'A tenant with this id exists already');
      return unborn(this.#deps.db, request.tenant_id, at);
    }
    if (!state) throw notFound();
    return state;
  }

  /** The document without clear text in it; throws all faults, those against other tenants included. */
  async #examine(
    tenant_id: string,
    before: TenantState,
    edit: Edit,
    refuse: (faults: readonly Fault[]) => Problem,
  ): Promise<Document> {
    const faults = [...edit.faults, ...(await runSliced(checking(edit.entries, tenant_id, { stored: false })))];
    const config = configOf(edit.entries);
    faults.push(...duplicateUsers(edit.entries));
    const claims = claimsOf(config);
    if (!sameClaims(claimsOf(before.document.config), claims)) {
      // `config` lacks what could not be parsed, so its indexes may differ from those of `entries`.
      for (const fault of await conflicts(this.#deps.db.client, tenant_id, claims)) {
        faults.push({ ...fault, pointer: relocated(fault.pointer, config, edit.entries) });
      }
    }
    if (faults.length > 0) throw refuse(faults);
    const shared = share(before.document.config, config);
    const done = await protect(this.#deps.sealer, tenant_id, before.document.config, shared);
    if (done.faults.length > 0) {
      throw refuse(done.faults.map((fault) => ({ ...fault, pointer: relocated(fault.pointer, shared, edit.entries) })));
    }
    return { tenant: edit.tenant, config: share(before.document.config, done.config) };
  }

  async #compile(
    document: Document,
    before: TenantState,
    edit: Edit,
    refuse: (faults: readonly Fault[]) => Problem,
  ): Promise<Graph> {
    try {
      return await this.#dry.compile(document, before.row.version + 1, before.graph);
    } catch (error) {
      if (!(error instanceof FaultError)) throw error;
      const pointed = error.faults.map((fault) => ({
        ...fault,
        pointer: relocated(fault.pointer, document.config, edit.entries),
      }));
      throw refuse(pointed);
    }
  }

  async #make(
    request: ChangeRequest,
    before: TenantState,
    document: Document,
    at: Date,
    version: number,
  ): Promise<Made> {
    const packs = new Map<string, { sha256: string; body: Uint8Array }>();
    const parts = await cut(document, {
      get: (raw) => {
        const known = before.packs.get(raw);
        if (known) packs.set(raw, known);
        return known;
      },
      set: (raw, packed) => packs.set(raw, packed),
    });
    const known = new Set(before.release?.manifest.sections.flatMap((section) => section.blobs));
    const fresh = new Map([...parts.blobs].filter(([name]) => !known.has(name)));
    return { cut: parts, manifest: manifestOf(request, version, parts, at), fresh, packs };
  }

  #nextRow(
    request: ChangeRequest,
    before: TenantState,
    edit: Edit,
    document: Document,
    changes: RowChanges,
    made: Made | null,
    below: Made | null,
    at: Date,
  ): TenantRow {
    const count = before.row.changes + 1;
    const own =
      request.create === true ||
      canonical(document.tenant) !== canonical(before.document.tenant) ||
      edit.metadata !== undefined ||
      edit.placement !== undefined;
    const moved = moveTo(request, before.row, edit.placement, at);
    const config = request.create === true || !isEmpty(changes);
    const served = below ?? (request.publish === 'hold' ? null : made);
    return {
      ...before.row,
      ...document.tenant,
      metadata: (edit.metadata ?? before.row.metadata) as Prisma.JsonValue,
      changes: count,
      revision: own ? count : before.row.revision,
      config_revision: config ? count : before.row.config_revision,
      version: made ? made.manifest.version : before.row.version,
      ...moved,
      // A rollout that was not to be aborted was refused.
      ...(served ? { stable_version: served.manifest.version, rollout_id: null } : {}),
      ...(moved || served ? { seq: nextSeq(before.row.seq, at.getTime()) } : {}),
      updated_at: at,
    };
  }

  async #commit(
    request: ChangeRequest,
    before: TenantState,
    row: TenantRow,
    document: Document,
    changes: RowChanges,
    made: Made | null,
    below: Made | null,
    at: Date,
    entries: readonly Entry[],
    refuse: (faults: readonly Fault[]) => Problem,
  ): Promise<void> {
    const { db } = this.#deps;
    const { tenant_id } = request;
    const claims = claimsOf(document.config);
    const whole = before.row.revision !== row.revision;
    const ownChanged = !request.create && canonical(document.tenant) !== canonical(before.document.tenant);
    await db.write(async (tx) => {
      if (request.create) await insertTenant(tx, row, before);
      else if (whole) await lockTenant(db, tx, before.row);
      else await countUp(tx, before.row, row);
      if (!sameClaims(claimsOf(before.document.config), claims)) {
        const faults = await writeClaims(db, tx, tenant_id, claims);
        if (faults.length > 0) {
          throw refuse(faults.map((f) => ({ ...f, pointer: relocated(f.pointer, document.config, entries) })));
        }
      }
      await writeRows(db, tx, tenant_id, changes, row.changes, at);
      if (below) {
        const size = { added: 0, changed: 1, removed: 0 };
        await insertRelease(db, tx, { ...below, held: false, size, restores: undefined }, at);
        await tx.release.updateMany({ where: { tenant_id, state: 'held' }, data: { state: 'superseded' } });
      }
      if (before.row.rollout_id !== null && row.rollout_id === null) {
        const { actor, request_id, takesOver: reason = '' } = request;
        await abortRollout(tx, { tenant_id, rollout_id: before.row.rollout_id, reason, actor, request_id }, at);
      }
      if (made) {
        const held = request.publish === 'hold';
        const { restores } = request;
        await insertRelease(db, tx, { ...made, held, size: sizeOf(changes, ownChanged), restores }, at);
        if (!held && before.row.version !== before.row.stable_version) {
          await tx.release.updateMany({ where: { tenant_id, state: 'held' }, data: { state: 'superseded' } });
        }
      }
      await request.also?.(tx, at);
      fault('publish.in-transaction');
      const { before: was, after: is } = auditConfig(before.document.config, document.config, changes);
      await audit(
        tx,
        {
          tenant_id,
          actor: request.actor,
          action: request.action,
          target: request.target,
          before: request.create ? null : { ...(whole ? { tenant: ownFields(before.row) } : {}), ...(was as object) },
          after: { ...(whole ? { tenant: ownFields(row) } : {}), ...(is as object) },
          version: made ? made.manifest.version : null,
          request_id: request.request_id,
        },
        at,
      );
      if (!request.create && whole) await tx.tenant.updateMany({ where: { tenant_id }, data: columns(row) });
      // A release that is published brings the head along.
      if (row.seq !== before.row.seq && row.stable_version === before.row.stable_version) {
        const { seq } = row;
        await tx.pendingHead.upsert({ where: { tenant_id }, create: { tenant_id, seq }, update: { seq } });
      }
    });
  }
}

/**
 * The columns of a tenant that shall run elsewhere; null when it stays. Where it ran before it runs on until it is ready
 * where it shall run (see tenants/mover.ts).
 */
function moveTo(
  { create }: ChangeRequest,
  row: TenantRow,
  placement: Labels | null | undefined,
  at: Date,
): Pick<TenantRow, 'placement' | 'leaving' | 'moved_at'> | null {
  if (placement === undefined || canonical(placement) === canonical(row.placement)) return null;
  if (create || row.stable_version === 0) return { placement, leaving: null, moved_at: null };
  const before = [...((row.leaving ?? []) as (Labels | null)[]), row.placement as Labels | null];
  const leaving = before.filter((labels) => canonical(labels) !== canonical(placement)).slice(-15);
  return { placement, leaving: leaving as Prisma.JsonArray, moved_at: at };
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
  packs: Packs;
}

const noRows: RowChanges = { resources: { put: [], removed: [] }, users: { put: [], removed: [] } };

const isEmpty = ({ resources, users }: RowChanges): boolean =>
  resources.put.length + resources.removed.length + users.put.length + users.removed.length === 0;

const ownFields = ({ tenant_name, status, resource_limits, metadata, placement }: TenantRow) => ({
  tenant_name,
  status,
  resource_limits,
  metadata,
  placement,
});

/** A tenant's columns as Prisma takes them. */
function columns(row: TenantRow): Prisma.TenantUncheckedCreateInput {
  return {
    ...row,
    resource_limits: row.resource_limits as Prisma.InputJsonObject,
    metadata: row.metadata as Prisma.InputJsonObject,
    placement: (row.placement as Prisma.InputJsonObject | null) ?? Prisma.DbNull,
    leaving: (row.leaving as Prisma.InputJsonArray | null) ?? Prisma.DbNull,
  };
}

/** Moves the tenant's counters, which locks its row. Throws Moved when it changed. */
async function countUp(tx: Tx, seen: TenantRow, row: TenantRow): Promise<void> {
  const { tenant_id, changes, config_revision, version, stable_version, rollout_id, seq, updated_at } = row;
  const counted = await tx.$executeRaw`UPDATE tenants
    SET changes = ${changes}, config_revision = ${config_revision}, version = ${version},
        stable_version = ${stable_version}, rollout_id = ${rollout_id}, seq = ${seq}, updated_at = ${updated_at}
    WHERE tenant_id = ${tenant_id} AND changes = ${seen.changes}`;
  if (counted !== 1) throw new Moved();
}

function revisionsAfter(before: TenantState, { resources }: RowChanges, changes: number): Map<string, number> {
  const revisions = new Map(before.revisions);
  for (const { family, name } of resources.removed) revisions.delete(`${family}/${name}`);
  for (const { family, object } of resources.put) revisions.set(`${family}/${object.name}`, changes);
  return revisions;
}

/** Locks the tenant's row first of all: parallel writers deadlock without it. Throws Moved when it changed. */
export async function lockTenant(db: Db, tx: Tx, seen: Pick<TenantRow, 'tenant_id' | 'changes'>): Promise<void> {
  // SQLite has one writer at a time anyway, and does not know FOR UPDATE.
  const rows =
    db.kind === 'mysql'
      ? await tx.$queryRaw<
          { changes: number }[]
        >`SELECT changes FROM tenants WHERE tenant_id = ${seen.tenant_id} FOR UPDATE`
      : await tx.$queryRaw<{ changes: number }[]>`SELECT changes FROM tenants WHERE tenant_id = ${seen.tenant_id}`;
  if (rows.length === 0 || Number(rows[0]!.changes) !== seen.changes) throw new Moved();
}

async function insertTenant(tx: Tx, row: TenantRow, before: TenantState): Promise<void> {
  const { tenant_id } = row;
  const deleted = await tx.deletedTenant.findUnique({ where: { tenant_id } });
  if ((deleted?.changes ?? 0) !== before.row.changes) throw new Moved();
  // The new one's release will move the head; nobody shall remove it any more.
  if (deleted) await tx.deletedTenant.updateMany({ where: { tenant_id }, data: { head_removed: true } });
  const taken = await tx.tenant.findUnique({ where: { tenant_id }, select: { tenant_id: true } });
  if (taken) throw new Moved();
  await tx.tenant.create({ data: columns(row), select: { tenant_id: true } });
}

/** A username is unique in its tenant, not only in its group. */
function duplicateUsers(entries: readonly Entry[]): Fault[] {
  const faults: Fault[] = [];
  // Within one group the group's kind looks.
  if (entries.filter((entry) => entry.object && holdsUsers(entry.object)).length < 2) return faults;
  const seen = new Map<string, string>();
  for (const entry of entries) {
    if (entry.family !== 'user_groups') continue;
    const users = (entry.object as { static_users?: { name: string }[] } | null)?.static_users ?? [];
    for (const [i, user] of users.entries()) {
      const group = seen.get(user.name);
      if (group !== undefined && group !== entry.name) {
        faults.push({
          pointer: `/user_groups/${entry.index}/static_users/${i}/name`,
          code: 'duplicate_user',
          message: `the user "${user.name}" is in the group "${group}" already`,
        });
      } else seen.set(user.name, entry.name);
    }
  }
  return faults;
}

/** `/<family>/<index>/…` into a config, as the same object's pointer among `entries`. */
export function relocated(pointer: string, config: Config, entries: readonly Entry[]): string {
  const [, family = '', index = '', ...rest] = pointer.split('/');
  const list = config[family as Family] as readonly AnyObject[] | undefined;
  const name = list?.[Number(index)]?.name;
  const entry = entries.find((e) => e.family === family && e.name === name);
  return entry ? ['', family, entry.index, ...rest].join('/') : pointer;
}
