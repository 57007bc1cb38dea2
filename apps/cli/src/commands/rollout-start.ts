import { ask, path } from '../client.ts';
import { defineCommand } from '../command.ts';
import { follow, howFlags, howOf } from '../rollout-flags.ts';
import type { Rollout } from '../rollout-story.ts';

const flags = {
  ...howFlags,
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
    'The release is made by a write with --publish hold; "push" and "draft apply" do both with --rollout.\n' +
    'Exit code: 0 started, or, with --wait, promoted; 1 there is nothing to roll out or a rollout is under way, or, with\n' +
    '--wait, it was halted, aborted or paused; 2 trouble.',
  examples: [
    'arcus push acme acme.yaml --publish hold',
    'arcus rollout start acme --labels canary=yes --steps 25,100 --bake 300 --error-rate 0.01 --p99 100 --wait',
  ],
  async run({ args, values, out, connect }) {
    const tenant = args[0]!;
    const api = connect();
    const where = path('tenants', tenant, 'rollouts');
    const body = { ...howOf(values), ...(values.message === undefined ? {} : { message: values.message }) };
    const { id } = (await ask(api, where, { method: 'POST', body: JSON.stringify(body) })).body as Rollout;
    return follow(out, api, tenant, id, values.wait);
  },
});
