import { TENANT_ID } from '@arcus/control/keys.ts';
import { z } from 'zod';

/** Stands for a tenant where the shared config is meant: one more config, with servers of its own, of no tenant. */
export const GLOBAL = '_global';

export const TenantId = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be 1 to 63 lower-case letters, digits or "-", the first a letter or digit')
  .describe('Id of a tenant');

export const TenantParams = z.strictObject({
  tenant_id: z.string().regex(TENANT_ID, 'is no id of a tenant').describe('Id of a tenant'),
});

export const Timestamp = z.string().meta({ format: 'date-time' }).describe('RFC 3339, UTC');
