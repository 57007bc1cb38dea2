import type { ObjectChange } from '@arcus/gateway/diff.ts';
import { printChanges } from '../changes.ts';
import { ask } from '../client.ts';
import { defineCommand, NO, OK } from '../command.ts';
import { draftPath } from '../remote-config.ts';

export const draftDiff = defineCommand({
  name: 'draft diff',
  summary: 'Show what applying a draft would change, by object and field',
  args: ['TENANT', 'DRAFT'],
  flags: {
    against: {
      value: 'VERSION',
      description: 'Compare with this release, or with latest (it may be held); default: stable, which is served',
    },
  },
  remote: true,
  notes: 'Exit code, as of diff(1): 0 nothing would change, 1 something would, 2 trouble.',
  examples: ['arcus draft diff acme friday', 'arcus draft diff acme friday --against 41'],
  async run({ args, values, out, connect }) {
    const [tenant, draft] = args as [string, string];
    const query = values.against === undefined ? '' : `?${new URLSearchParams({ against: values.against })}`;
    const { body } = await ask(connect(), `${draftPath(tenant, draft, 'diff')}${query}`);
    const changes = body.changes as ObjectChange[];
    if (out.json) out.data(body);
    else printChanges(out, changes);
    return changes.length === 0 ? OK : NO;
  },
});
