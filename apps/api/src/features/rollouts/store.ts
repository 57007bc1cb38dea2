/**
 * Rollouts in the database. Everything that happens to one goes through `move`: its row, its story, the tenant's head and
 * the audit trail change together or not at all, and only if nobody else was faster.
 */
import { randomBytes } from 'node:crypto';
import type { z } from 'zod';
import { Prisma, type Tx } from '../../db/open.ts';
import type { Context } from '../../deps.ts';
import { notFound, Problem } from '../../http/problem.ts';
import { audit } from '../audit/record.ts';
import type { Step } from '../releases/head.ts';
import { Moved } from '../releases/lock.ts';
import { moveHeadRow, withTenant } from '../releases/move.ts';
import type { NewRollout, Origin } from '../releases/request.ts';
import type { TenantRow } from '../releases/state.ts';
import type { HaltOn, OnNoTraffic } from './schema.ts';
import type { FleetCounts } from './signals.ts';

export type RolloutRow = Prisma.RolloutModel;
export type Uses = Pick<Context, 'db' | 'changes' | 'publisher' | 'now'>;

/** When a rollout halts, and what it does when nothing is shown. */
export type Rules = HaltOn & {
  on_no_traffic: z.output<typeof OnNoTraffic>;
  /** Nobody asked for its limits: they halt what is plainly broken, and hold nothing up. */
  usual?: true;
};

export const stepsOf = (row: RolloutRow): Step[] => row.steps as unknown as Step[];
export const rulesOf = (row: RolloutRow): Rules => row.halt_on as unknown as Rules;
/** Ids of the workers that each step took, as far as it came. */
export const membersOf = (row: RolloutRow): string[][] => [...(row.members as unknown as string[][])];
export const baselineOf = (row: RolloutRow): FleetCounts | null => row.baseline as unknown as FleetCounts | null;

export interface Story {
  readonly kind: string;
  readonly text: string;
  readonly details?: object | undefined;
}

export interface Move {
  readonly story?: Story;
  /** Columns of the rollout; a new `step` or an end moves the tenant's head. */
  readonly data: Prisma.RolloutUpdateManyMutationInput;
  /** promote: its release becomes the stable one; revert: the stable one is all again. */
  readonly end?: 'promote' | 'revert';
}

/** Started and driven by the management service itself. */
export const itself: Origin = { actor: '', request_id: '', message: '' };

export interface Wanted {
  readonly version: number | undefined;
  readonly steps: readonly Step[];
  readonly bake_seconds: number;
  readonly rules: Rules;
  readonly message: string;
  /** What it cannot show, with the fleet as it is: kept with its story. */
  notes(row: TenantRow): string[];
}

/** Throws Problem: not_found, or conflict when there is nothing to roll out or a rollout is under way. */
export async function startRollout(uses: Uses, tenant_id: string, origin: Origin, wanted: Wanted): Promise<RolloutRow> {
  const { id: rollout_id, begin } = newRollout(origin, wanted);
  await withTenant(uses, tenant_id, async (tx, row, at) => {
    await begin(tx, row, at);
    await moveHeadRow(tx, row, { rollout_id }, at);
  });
  await uses.publisher.publish(tenant_id);
  const row = await uses.db.client.rollout.findUnique({ where: { rollout_id } });
  // The tenant was deleted meanwhile.
  if (!row) throw notFound('tenant', tenant_id);
  return row;
}

/** A rollout that is not there yet. Whoever lets it begin sees to it that the tenant's head names it. */
export function newRollout(origin: Origin, wanted: Wanted): NewRollout {
  const rollout_id = `r-${randomBytes(8).toString('hex')}`;
  return {
    id: rollout_id,
    async begin(tx, row, at) {
      const { tenant_id, version, stable_version } = row;
      demandStart(row, rollout_id, wanted.version);
      const notes = wanted.notes(row);
      const first = {
        at,
        kind: 'started',
        actor: origin.actor,
        text: `release ${version} over ${stable_version}`,
        details: notes.length > 0 ? { notes } : Prisma.DbNull,
      };
      await tx.rollout.createMany({
        data: {
          ...{ rollout_id, tenant_id, version, stable_version, state: 'running', phase: 'entering', step: 0 },
          ...{ steps: wanted.steps as unknown as Prisma.InputJsonArray, halt_on: { ...wanted.rules }, reason: '' },
          ...{ bake_seconds: wanted.bake_seconds, step_at: at, members: [] },
          ...{ changes: 1, author: origin.actor, message: wanted.message, created_at: at, updated_at: at },
          ...{ lease_owner: '', lease_until: at },
        },
      });
      await tx.rolloutEvent.createMany({ data: { rollout_id, ...first } });
      await audited(tx, tenant_id, origin, 'rollout.start', rollout_id, version, at);
    },
  };
}

function demandStart(row: TenantRow, rollout_id: string, version: number | undefined): void {
  const extra = { version: row.version, stable_version: row.stable_version };
  if (row.rollout_id !== null && row.rollout_id !== rollout_id) {
    throw new Problem('conflict', 'A rollout of this tenant is under way: one at a time', {
      extra: { ...extra, rollout: row.rollout_id },
    });
  }
  if (row.version === row.stable_version) {
    const detail = `release ${row.version} is published: a release to be rolled out is made with ?publish=hold`;
    throw new Problem('conflict', detail, { extra });
  }
  if (version !== undefined && version !== row.version) {
    throw new Problem('conflict', `only the newest release, ${row.version}, can be rolled out`, { extra });
  }
}

/**
 * One move of a rollout. `next` looks at the row as it is and says what shall become of it; null: nothing. Answers the
 * row after it. Throws Problem not_found, and what `next` throws.
 */
export async function move(
  uses: Uses,
  tenant_id: string,
  rollout_id: string,
  origin: Origin,
  next: (row: RolloutRow) => Move | null,
): Promise<RolloutRow> {
  let publish = false;
  await withTenant(uses, tenant_id, async (tx, tenant, at) => {
    publish = false;
    const row = await tx.rollout.findUnique({ where: { rollout_id } });
    if (!row || row.tenant_id !== tenant_id) throw notFound('rollout', rollout_id);
    const made = next(row);
    if (made === null) return;
    const { data, story, end } = made;
    const { count } = await tx.rollout.updateMany({
      where: { rollout_id, changes: row.changes },
      data: { ...data, changes: row.changes + 1, updated_at: at },
    });
    if (count === 0) throw new Moved();
    if (story) {
      const { kind, text, details } = story;
      await tx.rolloutEvent.createMany({
        data: {
          ...{ rollout_id, at, kind, text: text.slice(0, 1024), actor: origin.actor },
          details: (details as Prisma.InputJsonObject | undefined) ?? Prisma.DbNull,
        },
      });
    }
    if (end) {
      await moveHeadRow(
        tx,
        tenant,
        { rollout_id: null, ...(end === 'promote' ? { stable_version: row.version } : {}) },
        at,
      );
      if (end === 'promote') {
        const held = { tenant_id, state: 'held' as const };
        await tx.release.updateMany({ where: { ...held, version: row.version }, data: { state: 'pending' } });
        await tx.release.updateMany({
          where: { ...held, version: { lt: row.version } },
          data: { state: 'superseded' },
        });
      }
    } else if (data.step !== undefined) await moveHeadRow(tx, tenant, {}, at);
    if (story && (end || origin !== itself)) {
      await audited(tx, tenant_id, origin, `rollout.${story.kind}`, rollout_id, row.version, at, story.text);
    }
    publish = end !== undefined || data.step !== undefined;
  });
  if (publish) await uses.publisher.publish(tenant_id);
  const row = await uses.db.client.rollout.findUnique({ where: { rollout_id } });
  if (!row) throw notFound('rollout', rollout_id);
  return row;
}

const audited = (
  tx: Tx,
  tenant_id: string,
  { actor, request_id }: Origin,
  action: string,
  target: string,
  version: number,
  at: Date,
  text?: string,
) =>
  audit(
    tx,
    {
      ...{ tenant_id, actor: actor || 'arcus', action, target: `rollouts/${target}`, request_id },
      ...{ before: null, after: text === undefined ? null : { reason: text }, version },
    },
    at,
  );
