import { ask, path } from '../client.ts';
import { defineCommand } from '../command.ts';
import { versionOf } from '../versions.ts';
import { release, waitFlags, waitQuery } from '../waiting.ts';

export const rollback = defineCommand({
  name: 'rollback',
  summary: 'Make a new release with the config of an old one',
  args: ['TENANT', 'VERSION'],
  flags: {
    ...waitFlags,
    publish: {
      ...waitFlags.publish,
      description: 'hold: store the release for a rollout; default: now, whatever is held or rolled out',
    },
  },
  remote: true,
  notes:
    'The old config is checked again as it is today; no release is made when it is served already. Exit code: 0 done; 1 it has faults today (nothing was stored), or,\n' +
    'with --wait, a worker refused the release or did not answer in time (it is stored); 2 trouble.',
  examples: ['arcus rollback acme 41 --wait', 'arcus rollback acme 41 -m "casinos are back"'],
  async run({ args, values, out, connect }) {
    const [tenant, text] = args as [string, string];
    const version = versionOf(text);
    const { query, timeout } = waitQuery(values);
    const where = `${path('tenants', tenant, 'rollback')}?${new URLSearchParams(query)}`;
    const asked = ask(connect(), where, { method: 'POST', body: JSON.stringify({ version }), timeout });
    return release(out, tenant, asked, values.wait);
  },
});
