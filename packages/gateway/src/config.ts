import { z } from 'zod';

/** The tenant itself, as far as a worker must know it. */
export const TenantInfo = z.strictObject({
  tenant_id: z.string(),
  tenant_name: z.string(),
  status: z.enum(['active', 'inactive', 'suspended']),
  resource_limits: z.record(z.string(), z.number()),
});
export type TenantInfo = z.output<typeof TenantInfo>;
export interface Config {
  servers: unknown[];
}
