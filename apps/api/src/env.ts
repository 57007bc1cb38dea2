import { wording } from '@arcus/control/environment.ts';
import { StoreEnv } from '@arcus/control/open.ts';
import { SecretEnv } from '@arcus/control/seal.ts';
import { SigningEnv, VerifyEnv } from '@arcus/control/sign.ts';
import { z } from 'zod';
import { parseDatabaseUrl } from './db/url.ts';

/** The environment of the management service; every variable, its default and its unit. */
export const ApiEnv = z.object({
  ARCUS_API_LISTEN: z
    .string()
    .regex(/^(?:\[[0-9a-fA-F:.]+\]|[^:[\]]+):\d{1,5}$/, 'must be host:port')
    .default('127.0.0.1:7700')
    .describe('host:port the API listens on; port 0 takes any free one'),
  ARCUS_DATABASE_URL: z
    .string()
    .superRefine((url, ctx) => {
      try {
        parseDatabaseUrl(url);
      } catch (error) {
        ctx.addIssue({ code: 'custom', message: (error as Error).message });
      }
    })
    .describe('file:<path> for SQLite, mysql://user:password@host:port/database for MySQL or MariaDB'),
  ARCUS_REDIS_URL: z
    .string()
    .regex(/^rediss?:\/\//, 'must begin with redis:// or rediss://')
    .optional()
    .describe('redis://host:port; without it there are no metrics'),
  ARCUS_LOG_LEVEL: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('How much is logged'),
  ARCUS_RELEASES_KEPT: z.coerce
    .number()
    .int()
    .min(1)
    .max(100_000)
    .default(100)
    .describe('How many releases of each tenant are kept for history and rollback'),
  ARCUS_RELEASES_DAYS: z.coerce
    .number()
    .int()
    .min(1)
    .max(36_500)
    .default(365)
    .describe('Days after which a release that was replaced is removed, even when there are fewer'),
  ...StoreEnv.shape,
  ...SecretEnv.shape,
  ...SigningEnv.shape,
  ...VerifyEnv.shape,
});
export type ApiEnv = z.output<typeof ApiEnv>;

/** Parses the environment once; throws an Error that names every variable that is wrong, and never a value. */
export function parseEnv(env: NodeJS.ProcessEnv): ApiEnv {
  // An empty variable is one that is not set.
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const result = ApiEnv.safeParse(set);
  if (result.success) return result.data;
  const lines = result.error.issues.map((issue) => {
    const name = String(issue.path[0]);
    return `${name}: ${set[name] === undefined ? 'is required' : wording(issue.message)}`;
  });
  throw new Error(lines.join('\n'));
}

export function parseListen(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}
