import { availableParallelism, hostname } from 'node:os';
import { wording } from '@arcus/control/environment.ts';
import { WORKER_ID } from '@arcus/control/keys.ts';
import { StoreEnv } from '@arcus/control/open.ts';
import { SecretEnv } from '@arcus/control/seal.ts';
import { VerifyEnv } from '@arcus/control/sign.ts';
import { z } from 'zod';

const Listen = z
  .string()
  .regex(/^(?:\[[0-9a-fA-F:.]+\]|[0-9.]+):\d{1,5}$/, 'must be address:port, such as 127.0.0.1:7900 or [::1]:7900')
  .transform((text) => {
    const at = text.lastIndexOf(':');
    return { host: text.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(text.slice(at + 1)) };
  })
  .refine(({ port }) => port <= 65535, 'the port must be at most 65535');

const Labels = z.string().transform((text, ctx): Record<string, string> => {
  const pairs = text.split(',').map((pair) => pair.trim());
  const labels: Record<string, string> = {};
  for (const pair of pairs.filter(Boolean)) {
    const [, key, value] = /^([A-Za-z0-9][A-Za-z0-9_./-]{0,62})=([A-Za-z0-9_.-]{0,63})$/.exec(pair) ?? [];
    if (key === undefined) ctx.addIssue({ code: 'custom', message: `"${pair}" is not key=value` });
    else labels[key] = value!;
  }
  return labels;
});

/** A worker's settings: environment variables, each read once, here. */
export const WorkerEnv = z.object({
  ARCUS_DATA: z.string().min(1).default('.data').describe('Folder for the snapshot and the id'),
  ARCUS_WORKER_ID: z
    .string()
    .regex(WORKER_ID, 'must be 1 to 128 letters, digits, "_", "." or "-", the first a letter or digit')
    .optional()
    .describe('Default: made from the host name, then kept'),
  ARCUS_WORKER_LABELS: Labels.default({}).describe('k=v,k=v'),
  ARCUS_ADMIN_LISTEN: z.string().default('127.0.0.1:7900').pipe(Listen).describe('/health /ready /metrics'),
  ...StoreEnv.shape,
  ...SecretEnv.shape,
  ...VerifyEnv.shape,
  ARCUS_REDIS_URL: z
    .string()
    .regex(/^rediss?:\/\//, 'must begin with redis:// or rediss://')
    .optional()
    .describe('Where statistics go; none: only /metrics has them'),
  ARCUS_DRAIN_SECONDS: z.coerce.number().min(0).max(86_400).default(30).describe('For sessions to end, seconds'),
  ARCUS_DECISION_LOG: z.string().min(1).default('stdout').describe('stdout | off | path of a file'),
  ARCUS_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info').describe('How much is logged'),
  ARCUS_PROCESSES: z.coerce
    .number()
    .int()
    .min(1)
    .max(256)
    .optional()
    .describe('Default: one per core on Linux, one elsewhere'),
});

export type WorkerEnv = z.output<typeof WorkerEnv>;

/** Throws an Error that names each variable that is wrong. */
export function readWorkerEnv(source: Readonly<Record<string, string | undefined>>): WorkerEnv {
  // An empty variable is an unset one.
  const given = Object.fromEntries(Object.entries(source).filter(([, value]) => value !== ''));
  const result = WorkerEnv.safeParse(given);
  if (result.success) return result.data;
  const lines = result.error.issues.map((issue) => {
    const name = String(issue.path[0]);
    return `${name}: ${given[name] === undefined ? 'is required' : wording(issue.message)}`;
  });
  throw new Error(`the environment is not right:\n  ${lines.join('\n  ')}`);
}

/** How many processes a worker is. Only Linux spreads connections over them evenly: elsewhere nobody gets several unasked. */
export const processesOf = (env: WorkerEnv): number =>
  env.ARCUS_PROCESSES ?? (process.platform === 'linux' ? availableParallelism() : 1);

/** A host name as the beginning of a worker id. */
export const idFromHost = (random: string): string => {
  const host = hostname().replace(/[^A-Za-z0-9_.-]/g, '-');
  return `${/^[A-Za-z0-9]/.test(host) ? host.slice(0, 100) : 'worker'}-${random}`;
};
