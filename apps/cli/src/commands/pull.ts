import { stringify } from 'yaml';
import { defineCommand, OK, UsageError } from '../command.ts';
import { getConfig } from '../remote-config.ts';

export const pull = defineCommand({
  name: 'pull',
  summary: "Print a tenant's config",
  args: ['TENANT'],
  flags: { output: { value: 'yaml|json', short: 'o', description: 'Format; default yaml, and json with --json' } },
  remote: true,
  notes:
    'Secrets come sealed: the file can be kept, changed and pushed back as it is, by the same installation and for the\n' +
    'same tenant. TENANT _global is the shared config.',
  examples: ['arcus pull acme > acme.yaml', 'arcus pull acme -o json | jq .servers'],
  async run({ args, values, out, connect }) {
    const format = values.output ?? (out.json ? 'json' : 'yaml');
    if (format !== 'yaml' && format !== 'json') throw new UsageError(`--output: "${format}" is neither yaml nor json`);
    const { config } = await getConfig(connect(), args[0]!);
    if (format === 'json') out.data(config);
    else out.raw(stringify(config, { lineWidth: 0, aliasDuplicateObjects: false }));
    return OK;
  },
});
