import type { Config } from '@arcus/gateway/config.ts';
import { diffConfigs } from '@arcus/gateway/diff.ts';
import { printChanges } from '../changes.ts';
import { defineCommand, NO, OK } from '../command.ts';
import { readConfigFile } from '../config-file.ts';
import { getConfig, putConfig } from '../remote-config.ts';

export const diff = defineCommand({
  name: 'diff',
  summary: "Show what pushing a file would change in a tenant's config, by object and field",
  args: ['TENANT', 'FILE'],
  flags: {},
  remote: true,
  notes:
    'Exit code, as of diff(1): 0 nothing would change, 1 something would (or the file has faults), 2 trouble. Secrets\n' +
    'are compared sealed and never shown. The API does a dry run, so the token must be one that may write.',
  examples: ['arcus diff acme acme.yaml', 'arcus pull acme | arcus diff acme -'],
  async run({ args, out, connect }) {
    const [tenant, name] = args as [string, string];
    const api = connect();
    const file = await readConfigFile(name);
    // First the dry run: a file with faults is refused with all of them.
    const { body } = await putConfig(api, tenant, file, { dry_run: 'true' });
    const { config, version } = await getConfig(api, tenant);
    const changes = diffConfigs(config, body.config as Config);
    if (out.json) out.data({ tenant, version, same: changes.length === 0, changes });
    else printChanges(out, changes);
    return changes.length === 0 ? OK : NO;
  },
});
