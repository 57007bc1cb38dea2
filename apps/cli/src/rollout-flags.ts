/** How a release is rolled out, as flags: of `rollout start`, and of the commands that make the release, too. */
import { setTimeout as wait } from 'node:timers/promises';
import { type Answer, ask, path } from './client.ts';
import { NO, OK, UsageError } from './command.ts';
import type { Connection } from './connection.ts';
import type { Output } from './output.ts';
import { printRollout, type Rollout } from './rollout-story.ts';
import { release, type WaitValues, waitQuery } from './waiting.ts';

const LOOK_MS = 500;

export const howFlags = {
  percent: { value: 'PERCENT', description: 'First step: so many percent of the fleet' },
  labels: { value: 'K=V,…', description: 'First step: the workers that have all these labels' },
  steps: { value: 'P,P,…', description: 'Percent of the fleet, ascending; default, without a first step: 5,25,100' },
  bake: { value: 'SECONDS', description: 'How long each step is watched; default 60' },
  'error-rate': {
    value: 'SHARE',
    description:
      'Halt when so many more requests fail than on the others; 0.01 is 1 %; default, without --p99 and --ignore-nack: 0.5',
  },
  p99: { value: 'MS', description: 'Halt when the 99th percentile of the latency is so much higher, ms' },
  'ignore-nack': { description: 'Go on when a worker refuses the release' },
  'without-traffic': { value: 'pause|continue', description: 'What to do when nothing was shown; default pause' },
} as const;

type HowValues = {
  readonly [K in keyof typeof howFlags]: (typeof howFlags)[K] extends { value: string } ? string | undefined : boolean;
};

/** For commands that make a release. */
export const rolloutFlags = {
  rollout: { description: 'Hold the release and roll it out step by step, as the flags below say; --wait: to its end' },
  ...howFlags,
} as const;

type Values = HowValues & WaitValues & { readonly rollout: boolean };

/** The body of a rollout's start. */
export const howOf = (values: HowValues) => ({
  ...(values.percent === undefined ? {} : { percent: number('percent', values.percent) }),
  ...(values.labels === undefined ? {} : { labels: labelsOf(values.labels) }),
  ...(values.steps === undefined ? {} : { steps: values.steps.split(',').map((one) => number('steps', one)) }),
  ...(values.bake === undefined ? {} : { bake_seconds: number('bake', values.bake) }),
  ...(values['without-traffic'] === undefined ? {} : { on_no_traffic: values['without-traffic'] }),
  ...haltOnOf(values),
});

/** Without a word about it the API's own limits hold. */
function haltOnOf(values: HowValues) {
  const { 'error-rate': errorRate, p99, 'ignore-nack': ignoreNack } = values;
  if (errorRate === undefined && p99 === undefined && !ignoreNack) return {};
  return {
    halt_on: {
      nack: !ignoreNack,
      ...(errorRate === undefined ? {} : { error_rate: number('error-rate', errorRate) }),
      ...(p99 === undefined ? {} : { p99_ms: number('p99', p99) }),
    },
  };
}

/** As `waitQuery`, for commands that may roll out what they make. */
export function releaseQuery(values: Values): { query: Record<string, string>; timeout: number } {
  if (!values.rollout) {
    const flag = (Object.keys(howFlags) as (keyof HowValues)[]).find((name) => values[name]);
    if (flag !== undefined) throw new UsageError(`--${flag} needs --rollout`);
    return waitQuery(values);
  }
  for (const flag of ['publish', 'timeout'] as const) {
    if (values[flag] !== undefined) throw new UsageError(`--${flag} and --rollout exclude each other`);
  }
  const { query, timeout } = waitQuery({ ...values, wait: false });
  return { query: { ...query, rollout: JSON.stringify(howOf(values)) }, timeout };
}

/** Shows what became of a release, and with --rollout of its rollout; answers the exit code. */
export async function released(
  { out, api, tenant, values }: { out: Output; api: Connection; tenant: string; values: Values },
  asked: Promise<Answer>,
): Promise<number> {
  if (!values.rollout) return release(out, tenant, asked, values.wait);
  const answer = await asked;
  const { rollout } = answer.body as { rollout?: string };
  if (rollout === undefined) return release(out, tenant, Promise.resolve(answer), values.wait);
  return follow(out, api, tenant, rollout, values.wait);
}

/** Shows a rollout, and waits for its end before if that is wanted; answers the exit code. */
export async function follow(
  out: Output,
  api: Connection,
  tenant: string,
  id: string,
  toTheEnd: boolean,
): Promise<number> {
  const look = async () => (await ask(api, path('tenants', tenant, 'rollouts', id))).body as Rollout;
  let rollout = await look();
  while (toTheEnd && rollout.state === 'running') {
    await wait(LOOK_MS);
    rollout = await look();
  }
  if (out.json) out.data(rollout);
  else printRollout(out, rollout);
  return !toTheEnd || rollout.state === 'promoted' ? OK : NO;
}

function number(flag: string, text: string): number {
  if (!/^\d+(?:\.\d+)?$/.test(text.trim())) throw new UsageError(`--${flag}: "${text}" is not a number`);
  return Number(text);
}

function labelsOf(text: string): Record<string, string> {
  const pairs = text.split(',').map((pair) => pair.trim().split('='));
  if (pairs.some((pair) => pair.length !== 2 || pair[0] === ''))
    throw new UsageError(`--labels: "${text}" is not k=v,k=v`);
  return Object.fromEntries(pairs as [string, string][]);
}
