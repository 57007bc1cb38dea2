/** A tenant on its way to another placement, as answers say it. */
import { Labels } from '@arcus/control/release.ts';
import { z } from 'zod';
import { Timestamp } from '../../http/ids.ts';
import type { TenantRow } from '../releases/state.ts';

export const Moving = z
  .object({
    since: Timestamp,
    leaving: z
      .array(Labels.nullable())
      .describe('Where it runs until it is ready where it shall run; null: all workers'),
  })
  .meta({ id: 'Moving' });

export const movingOf = ({ moved_at, leaving }: TenantRow): z.output<typeof Moving> | null =>
  moved_at && { since: moved_at.toISOString(), leaving: leaving as (Labels | null)[] };
