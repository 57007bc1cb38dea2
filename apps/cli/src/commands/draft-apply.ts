import { ask } from '../client.ts';
import { defineCommand } from '../command.ts';
import { draftPath } from '../remote-config.ts';
import { release, waitFlags, waitQuery } from '../waiting.ts';

export const draftApply = defineCommand({
  name: 'draft apply',
  summary: "Make one release of a draft's changes",
  args: ['TENANT', 'DRAFT'],
  flags: {
    only: { value: 'FAMILIES', description: 'Only these, such as escapers,users; the rest stays in the draft' },
    ...waitFlags,
  },
  remote: true,
  notes:
    'Exit code: 0 done; 1 it has faults or conflicts (each is shown, nothing was stored), or, with --wait, a worker\n' +
    'refused the release or did not answer in time (it is stored, and who and why is said); 2 trouble.',
  examples: ['arcus draft apply acme friday --wait', 'arcus draft apply acme friday --only policies,users'],
  async run({ args, values, out, connect }) {
    const [tenant, draft] = args as [string, string];
    const { query, timeout } = waitQuery(values);
    const scopes = values.only?.split(',').map((family) => family.trim().replaceAll('-', '_'));
    const where = `${draftPath(tenant, draft, 'apply')}?${new URLSearchParams(query)}`;
    const body = JSON.stringify(scopes ? { scopes } : {});
    return release(out, tenant, ask(connect(), where, { method: 'POST', body, timeout }));
  },
});
