import { ask } from '../client.ts';
import { defineCommand } from '../command.ts';
import { draftPath } from '../remote-config.ts';
import { released, releaseQuery, rolloutFlags } from '../rollout-flags.ts';
import { waitFlags } from '../waiting.ts';

export const draftApply = defineCommand({
  name: 'draft apply',
  summary: "Make one release of a draft's changes",
  args: ['TENANT', 'DRAFT'],
  flags: {
    only: { value: 'FAMILIES', description: 'Only these, such as escapers,users; the rest stays in the draft' },
    ...waitFlags,
    ...rolloutFlags,
  },
  remote: true,
  notes:
    'Exit code: 0 done; 1 it has faults or conflicts (each is shown, nothing was stored), or, with --wait, a worker\n' +
    'refused the release or did not answer in time (it is stored, and who and why is said), or, with\n' +
    '--rollout --wait, the rollout was halted, aborted or paused; 2 trouble.',
  examples: [
    'arcus draft apply acme friday --wait',
    'arcus draft apply acme friday --only policies,users',
    'arcus draft apply acme friday --rollout --percent 5',
  ],
  async run({ args, values, out, connect }) {
    const [tenant, draft] = args as [string, string];
    const { query, timeout } = releaseQuery(values);
    const scopes = values.only?.split(',').map((family) => family.trim().replaceAll('-', '_'));
    const where = `${draftPath(tenant, draft, 'apply')}?${new URLSearchParams(query)}`;
    const body = JSON.stringify(scopes ? { scopes } : {});
    const api = connect();
    return released({ out, api, tenant, values }, ask(api, where, { method: 'POST', body, timeout }));
  },
});
