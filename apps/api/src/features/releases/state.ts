/** What the management service knows of a tenant, read once and kept while the tenant does not change. */

import type { Manifest } from '@arcus/control/release.ts';
import type { CutMemory } from '@arcus/control/sections.ts';
import { examineSliced } from '@arcus/gateway/check.ts';
import type { Graph } from '@arcus/gateway/compile.ts';
import { type Config, emptyConfig, type TenantInfo } from '@arcus/gateway/config.ts';
import { StoredLimits } from '@arcus/gateway/limits.ts';
import type { Db, Prisma } from '../../db/open.ts';
import { type Document, holdsUsers } from './document.ts';
import { readRows } from './rows.ts';

export type TenantRow = Prisma.TenantModel;
export type ReleaseRow = { version: number; state: 'pending' | 'published' | 'superseded' | 'held'; checksum: string };

/** A tenant at one moment: `row.changes` says which. */
export interface TenantState {
  readonly row: TenantRow;
  readonly document: Document;
  /** The newest release; null before the first. */
  readonly release: { readonly checksum: string; readonly manifest: Manifest } | null;
  /** What the document compiles to, for the next compile to share with; null when it was not compiled yet. */
  readonly graph: Graph | null;
  /** How the document was cut into parts, for the next cut; null when it was not yet. */
  readonly memory: CutMemory | null;
  /** Revisions of rows, `<family>/<name>`, as far as they are known; to be added to by who asks the database. */
  readonly revisions: Map<string, number>;
}

export function tenantInfo(
  row: Pick<TenantRow, 'tenant_id' | 'tenant_name' | 'status' | 'resource_limits'>,
): TenantInfo {
  const { tenant_id, tenant_name, status, resource_limits } = row;
  return { tenant_id, tenant_name, status, resource_limits: StoredLimits.parse(resource_limits) };
}

/** Tenants kept in memory, the least recently used go first. */
export class States {
  readonly #db: Db;
  /** By weight: about the number of objects and users. */
  readonly #limit: number;
  readonly #kept = new Map<string, { state: TenantState; weight: number }>();
  #weight = 0;

  constructor(db: Db, limit = 1_000_000) {
    this.#db = db;
    this.#limit = limit;
  }

  /** The tenant as it is now; null when there is none. Costs one row when it did not change since. */
  async load(tenant_id: string): Promise<TenantState | null> {
    for (;;) {
      const row = await this.#db.client.tenant.findUnique({ where: { tenant_id } });
      if (!row) {
        this.drop(tenant_id);
        return null;
      }
      const kept = this.#kept.get(tenant_id);
      if (kept && kept.state.row.changes === row.changes) {
        this.#kept.delete(tenant_id);
        this.#kept.set(tenant_id, kept);
        return kept.state;
      }
      const [rows, release] = await Promise.all([
        readRows(this.#db.client, tenant_id),
        this.#db.client.release.findUnique({ where: { tenant_id_version: { tenant_id, version: row.version } } }),
      ]);
      const again = await this.#db.client.tenant.findUnique({ where: { tenant_id }, select: { changes: true } });
      // Rows of two moments: somebody wrote in between.
      if (again?.changes !== row.changes) continue;
      const { config, faults } = await examineSliced(rows, tenant_id);
      if (!config) throw new Error(`stored config of ${tenant_id}: ${faults[0]?.pointer} ${faults[0]?.message}`);
      const state: TenantState = {
        row,
        document: { tenant: tenantInfo(row), config },
        release: release && { checksum: release.checksum, manifest: JSON.parse(release.manifest) as Manifest },
        graph: null,
        memory: null,
        revisions: new Map(),
      };
      this.keep(state);
      return state;
    }
  }

  /** The tenant as this process knew it last: nearly always as it is. Null when it knows nothing. */
  peek(tenant_id: string): TenantState | null {
    return this.#kept.get(tenant_id)?.state ?? null;
  }

  /** Takes what a write made, so that the next one reads nothing. */
  keep(state: TenantState): void {
    const { tenant_id } = state.row;
    this.#forget(tenant_id, state.graph);
    const weight = weightOf(state.document.config);
    this.#kept.set(tenant_id, { state, weight });
    this.#weight += weight;
    for (const oldest of this.#kept.keys()) {
      if (this.#weight <= this.#limit || oldest === tenant_id) break;
      this.drop(oldest);
    }
  }

  drop(tenant_id: string): void {
    this.#forget(tenant_id, null);
  }

  close(): void {
    for (const tenant_id of [...this.#kept.keys()]) this.drop(tenant_id);
  }

  #forget(tenant_id: string, successor: Graph | null): void {
    const kept = this.#kept.get(tenant_id);
    if (!kept) return;
    this.#kept.delete(tenant_id);
    this.#weight -= kept.weight;
    if (kept.state.graph && kept.state.graph !== successor) kept.state.graph.retire();
  }
}

function weightOf(config: Config): number {
  let weight = 1;
  for (const list of Object.values(config) as (readonly object[])[]) {
    for (const object of list) {
      weight += 1;
      for (const value of Object.values(object)) if (Array.isArray(value)) weight += value.length;
    }
  }
  return weight;
}

/** A tenant that is being made. `changes` and `version` go on from one of the same id that was deleted. */
export async function unborn(db: Db, tenant_id: string, at: Date): Promise<TenantState> {
  const deleted = await db.client.deletedTenant.findUnique({ where: { tenant_id } });
  const row: TenantRow = {
    tenant_id,
    tenant_name: tenant_id,
    status: 'active',
    resource_limits: {},
    metadata: {},
    changes: deleted?.changes ?? 0,
    revision: 0,
    config_revision: 0,
    version: deleted?.version ?? 0,
    stable_version: deleted?.version ?? 0,
    seq: deleted?.seq ?? 0n,
    rollout_id: null,
    placement: null,
    leaving: null,
    moved_at: null,
    created_at: at,
    updated_at: at,
  };
  return {
    row,
    document: { tenant: tenantInfo(row), config: emptyConfig() },
    release: null,
    graph: null,
    memory: null,
    revisions: new Map(),
  };
}

/** All users of a config. */
export function userCount(config: Config): number {
  let count = 0;
  for (const group of config.user_groups) if (holdsUsers(group)) count += group.static_users.length;
  return count;
}
