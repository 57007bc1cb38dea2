import type { ObjectChange } from '@arcus/gateway/diff.ts';
import { printChanges } from '../changes.ts';
import { ask, path } from '../client.ts';
import { defineCommand, NO, OK } from '../command.ts';
import { versionOf } from '../versions.ts';

export const releaseDiff = defineCommand({
  name: 'release diff',
  summary: 'Show what differs between two releases, by object and field',
  args: ['TENANT', 'FROM', 'TO'],
  flags: {},
  remote: true,
  notes: 'Exit code, as of diff(1): 0 nothing differs, 1 something does, 2 trouble. Secrets are never shown.',
  examples: ['arcus release diff acme 40 41'],
  async run({ args, out, connect }) {
    const [tenant, from, to] = args as [string, string, string];
    const where = path('tenants', tenant, 'releases', String(versionOf(from)), 'diff', String(versionOf(to)));
    const { body } = await ask(connect(), where);
    const changes = body.changes as ObjectChange[];
    if (out.json) out.data(body);
    else printChanges(out, changes);
    return changes.length === 0 ? OK : NO;
  },
});
