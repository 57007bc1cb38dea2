/** What a rollout is, for those who ask for one and those who look at one. */
import { Labels } from '@arcus/control/release.ts';
import { z } from 'zod';
import { Timestamp } from '../../http/ids.ts';
import { Message } from '../../http/text.ts';

const Percent = z.number().gt(0).max(100);

export const HaltOn = z
  .strictObject({
    nack: z.boolean().default(true).describe('A worker refuses the release'),
    error_rate: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe(
        'The share of failed requests is higher by more than this than where the stable release runs; 0.01 is one ' +
          'percent point. Where no other worker has traffic: is higher than this',
      ),
    p99_ms: z
      .number()
      .min(0)
      .optional()
      .describe('The 99th percentile of the latency is higher by more than so many ms; otherwise as error_rate'),
  })
  .meta({ id: 'RolloutHaltOn' });
export type HaltOn = z.output<typeof HaltOn>;

export const OnNoTraffic = z
  .enum(['pause', 'continue'])
  .describe(
    'What to do when a signal is asked for and no request went through the new release: nothing was shown then',
  );

/**
 * The limit of failed requests of a rollout that names no `halt_on`: what fails that much more often than the stable
 * release, or, without one to compare with, more often than not, is broken, whatever the tenant's traffic is like.
 */
export const USUAL_ERROR_RATE = 0.5;

const how = {
  percent: Percent.optional().describe('First step: so many percent of the fleet'),
  labels: Labels.optional().describe('First step: the workers that have all these labels'),
  steps: z
    .array(Percent)
    .min(1)
    .max(20)
    .optional()
    .describe('Percent of the fleet, ascending, after `percent` or `labels`; default without these: 5, 25, 100'),
  bake_seconds: z.int().min(0).max(86_400).default(60).describe('How long each step is watched, seconds'),
  halt_on: HaltOn.optional().describe(
    'When it is stopped and taken back by itself. Absent: when a worker refuses it (nack), and, where there are ' +
      `numbers, with an error_rate of ${USUAL_ERROR_RATE}, of at least 20 requests; this one waits for no traffic. ` +
      'What is given holds as it is: {} or {"nack": true} sets no limit for failed requests',
  ),
  on_no_traffic: OnNoTraffic.default('pause'),
  message: Message.default('').describe('Why'),
};
const How = z.strictObject(how);

const demandOrder = (
  { percent, labels, steps = [], bake_seconds, halt_on }: z.output<typeof How>,
  context: z.RefinementCtx,
) => {
  const fault = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message });
  if (percent !== undefined && labels !== undefined) fault(['labels'], 'either percent or labels');
  if (labels !== undefined && Object.keys(labels).length === 0) fault(['labels'], 'must name a label');
  for (const [i, step] of steps.entries()) {
    const before = i === 0 ? percent : steps[i - 1];
    if (before !== undefined && step <= before) fault(['steps', i], 'each step must be larger than the one before');
  }
  for (const signal of ['error_rate', 'p99_ms'] as const) {
    if (halt_on?.[signal] !== undefined && bake_seconds < 1) fault(['bake_seconds'], `${signal} needs time to be seen`);
  }
};

export const RolloutStart = z
  .strictObject({
    version: z.int().min(1).optional().describe('The held release; default: the newest, and it can be no other'),
    ...how,
  })
  .superRefine(demandOrder)
  .meta({ id: 'RolloutStart' });
export type RolloutStart = z.output<typeof RolloutStart>;

/** In the query of a write. */
export const RolloutOnPublish = z
  .string()
  .transform((text, context): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      context.addIssue({ code: 'custom', message: 'must be JSON' });
      return z.NEVER;
    }
  })
  .pipe(How.superRefine(demandOrder))
  .optional()
  .describe(
    'Hold the release and roll it out step by step, all in this call: JSON as the body of POST …/rollouts, without ' +
      '`version`, such as {"labels":{"canary":"yes"},"steps":[25,100]}. Not with `publish` or `wait`. A write that ' +
      'changes nothing rolls out what is held already, if anything is',
  );

const Step = z.object({
  percent: z.number().optional(),
  labels: Labels.optional(),
});

const Event = z
  .object({
    at: Timestamp,
    kind: z
      .string()
      .describe('started, step, skipped, baking, baked, waiting, paused, resumed, promoted, halted, aborted'),
    text: z.string(),
    actor: z.string().describe('Empty: the management service itself'),
    details: z.unknown().optional(),
  })
  .meta({ id: 'RolloutEvent' });

export const Rollout = z
  .object({
    id: z.string(),
    tenant_id: z.string(),
    version: z.int().describe('The release that goes out'),
    stable_version: z
      .int()
      .describe('What the rest of the fleet runs meanwhile, and all of it when this is taken back'),
    state: z
      .enum(['running', 'paused', 'promoted', 'halted', 'aborted'])
      .describe('promoted: it is the stable release; halted: taken back by itself; aborted: taken back by hand'),
    phase: z.enum(['entering', 'baking']).describe('entering: workers of the step have not all answered'),
    step: z.int().describe('Where it is in `steps`, from 1'),
    steps: z.array(Step),
    bake_seconds: z.int(),
    bake_until: Timestamp.nullable(),
    halt_on: HaltOn,
    on_no_traffic: OnNoTraffic,
    reason: z.string().describe('Why it is in this state'),
    author: z.string(),
    message: z.string(),
    created_at: Timestamp,
    updated_at: Timestamp,
  })
  .meta({ id: 'Rollout' });

const PlannedStep = Step.extend({
  workers: z.array(z.string()).describe('Live workers that run the release from this step on; of many the first 100'),
  count: z.int(),
  of: z.int().describe('Live workers that the tenant is placed on'),
});

export const RolloutDetail = Rollout.extend({
  plan: z.array(PlannedStep).describe('What each step takes of the fleet as it is now'),
  notes: z.array(z.string()).describe('What this rollout can not show, with this fleet'),
  events: z.array(Event).describe('Its story, oldest first'),
}).meta({ id: 'RolloutDetail' });
