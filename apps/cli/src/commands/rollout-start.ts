import { setTimeout as wait } from 'node:timers/promises';
import { ask, path } from '../client.ts';
import { defineCommand, NO, OK, UsageError } from '../command.ts';
import { printRollout, type Rollout } from '../rollout-story.ts';

const LOOK_MS = 500;

const flags = {
  percent: { value: 'PERCENT', description: 'First step: so many percent of the fleet' },
  labels: { value: 'K=V,…', description: 'First step: the workers that have all these labels' },
  steps: { value: 'P,P,…', description: 'Percent of the fleet, ascending; default, without a first step: 5,25,100' },
  bake: { value: 'SECONDS', description: 'How long each step is watched; default 60' },
  'error-rate': { value: 'SHARE', description: 'Halt when so many more requests fail than on the others; 0.01 is 1 %' },
  p99: { value: 'MS', description: 'Halt when the 99th percentile of the latency is so much higher, ms' },
  'ignore-nack': { description: 'Go on when a worker refuses the release' },
  'without-traffic': { value: 'pause|continue', description: 'What to do when nothing was shown; default pause' },
  message: { value: 'TEXT', short: 'm', description: 'Why' },
  wait: { description: 'Wait until it is promoted, halted, aborted or paused' },
} as const;

export const rolloutStart = defineCommand({
  name: 'rollout start',
  summary: 'Bring a held release to the fleet step by step; it is taken back by itself when it does worse',
  args: ['TENANT'],
  flags,
  remote: true,
  notes:
    'The release is made by a write with --publish hold. Exit code: 0 started, or, with --wait, promoted; 1 there is\n' +
    'nothing to roll out or a rollout is under way, or, with --wait, it was halted, aborted or paused; 2 trouble.',
  examples: [
    'arcus push acme acme.yaml --publish hold',
    'arcus rollout start acme --labels canary=yes --steps 25,100 --bake 300 --error-rate 0.01 --p99 100 --wait',
  ],
  async run({ args, values, out, connect }) {
    const tenant = args[0]!;
    const body = {
      ...(values.percent === undefined ? {} : { percent: number('percent', values.percent) }),
      ...(values.labels === undefined ? {} : { labels: labelsOf(values.labels) }),
      ...(values.steps === undefined ? {} : { steps: values.steps.split(',').map((one) => number('steps', one)) }),
      ...(values.bake === undefined ? {} : { bake_seconds: number('bake', values.bake) }),
      ...(values.message === undefined ? {} : { message: values.message }),
      ...(values['without-traffic'] === undefined ? {} : { on_no_traffic: values['without-traffic'] }),
      halt_on: {
        nack: !values['ignore-nack'],
        ...(values['error-rate'] === undefined ? {} : { error_rate: number('error-rate', values['error-rate']) }),
        ...(values.p99 === undefined ? {} : { p99_ms: number('p99', values.p99) }),
      },
    };
    const api = connect();
    const where = path('tenants', tenant, 'rollouts');
    let rollout = (await ask(api, where, { method: 'POST', body: JSON.stringify(body) })).body as Rollout;
    while (values.wait && rollout.state === 'running') {
      await wait(LOOK_MS);
      rollout = (await ask(api, `${where}/${rollout.id}`)).body as Rollout;
    }
    if (out.json) out.data(rollout);
    else printRollout(out, rollout);
    return !values.wait || rollout.state === 'promoted' ? OK : NO;
  },
});

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
