import { ask, path } from '../client.ts';
import { type Command, defineCommand, NO, OK } from '../command.ts';
import { printRollout, type Rollout } from '../rollout-story.ts';

export const rolloutStatus = defineCommand({
  name: 'rollout status',
  summary: 'Show the rollout that is under way, or else the last one, with its story',
  args: ['TENANT', '[ROLLOUT]'],
  flags: {},
  remote: true,
  notes: 'Exit code: 0 it runs or was promoted, 1 it is paused, halted or aborted, or there never was one.',
  examples: ['arcus rollout status acme', 'arcus rollout status acme r-0123456789abcdef --json'],
  async run({ args, out, connect }) {
    const [tenant, id] = args as [string, string?];
    const api = connect();
    const where = path('tenants', tenant, 'rollouts');
    const last = id ?? ((await ask(api, `${where}?limit=1`)).body.items[0]?.id as string | undefined);
    if (last === undefined) {
      if (out.json) out.data(null);
      else out.say(`${tenant}: there was no rollout yet`);
      return NO;
    }
    const rollout = (await ask(api, `${where}${path(last)}`)).body as Rollout;
    if (out.json) out.data(rollout);
    else printRollout(out, rollout);
    return rollout.state === 'running' || rollout.state === 'promoted' ? OK : NO;
  },
});

const byHand = (action: string, summary: string): Command =>
  defineCommand({
    name: `rollout ${action}`,
    summary,
    args: ['TENANT'],
    flags: {},
    remote: true,
    notes: 'Exit code: 0 done, 1 it is in no state for that, 2 trouble, such as that no rollout is under way.',
    examples: [`arcus rollout ${action} acme`],
    async run({ args, out, connect }) {
      const where = path('tenants', args[0]!, 'rollouts', 'current', action);
      const { body } = await ask(connect(), where, { method: 'POST' });
      if (out.json) out.data(body);
      else printRollout(out, body as Rollout);
      return OK;
    },
  });

export const rolloutPause = byHand('pause', 'Let a rollout stay at its step');
export const rolloutResume = byHand('resume', 'Let a paused rollout go on: its step is watched again');
export const rolloutAbort = byHand('abort', 'Take a rollout back: all workers run the stable release');
export const rolloutPromote = byHand('promote', 'Make the release of a rollout the stable one everywhere, now');
