/** A change of a tenant, as it is asked for and as it was made. */
import type { HeadBody, Labels, Manifest } from '@arcus/control/release.ts';
import type { Entry, TenantInfo } from '@arcus/gateway/config.ts';
import type { Fault } from '@arcus/gateway/fault.ts';
import type { Tx } from '../../db/open.ts';
import type { RowChanges } from './rows.ts';
import type { TenantRow, TenantState } from './state.ts';

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
  /** It waits for the workers: refused when what is held stays held, as none of them will answer for that. */
  acked?: boolean | undefined;
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
   * stable, below the one that stays held. A rollout is aborted with it. Whatever `publish` says.
   */
  brake?: string | undefined;
}

/** A rollout that begins with the change which makes its release, or not at all. */
export interface NewRollout {
  readonly id: string;
  /** Writes its rows, of the tenant as it is or will be. Throws Problem when it cannot begin. */
  begin(tx: Tx, row: TenantRow, at: Date): Promise<void>;
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
  /**
   * Begins in the transaction that stores the release, which `publish` has to hold; without a change: of what is held
   * already, if anything is.
   */
  rollout?: NewRollout | undefined;
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
  /** Where it shall run was asked for, and it is not there yet: also when somebody asks again. */
  enters: boolean;
  /** The release that went out below one that stays held (`brake`). */
  below: number | null;
}
