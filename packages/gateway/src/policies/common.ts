import { z } from 'zod';

/** Fields of every policy. */
export const policyFields = {
  priority: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(100)
    .describe('Order among the policies of the tenant: lower first, equal ones by name'),
};
