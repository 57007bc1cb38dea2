import { defineCommand, OK, UsageError } from '../command.ts';
import { readConfigFile } from '../config-file.ts';
import { putConfig } from '../remote-config.ts';
import { released, releaseQuery, rolloutFlags } from '../rollout-flags.ts';
import { waitFlags } from '../waiting.ts';

const flags = {
  ...waitFlags,
  'dry-run': { description: 'Check everything, store nothing' },
  ...rolloutFlags,
} as const;

export const push = defineCommand({
  name: 'push',
  summary: "Replace a tenant's config by a file's, and publish it",
  args: ['TENANT', 'FILE'],
  flags,
  remote: true,
  notes:
    'Exit code: 0 done; 1 the file has faults (nothing was stored: "file:line:col pointer message" for each), or, with\n' +
    '--wait, a worker refused the release or did not answer in time (it is stored, and who and why is said), or,\n' +
    'with --rollout --wait, the rollout was halted, aborted or paused; 2 trouble.',
  examples: [
    'arcus push acme acme.yaml --wait',
    'arcus push acme acme.yaml --wait --timeout 2m -m "block casinos"',
    'arcus push acme acme.yaml --rollout --labels canary=yes --steps 25,100 --error-rate 0.01 --wait',
  ],
  async run({ args, values, out, connect }) {
    const [tenant, name] = args as [string, string];
    const dryRun = values['dry-run'];
    for (const flag of ['wait', 'rollout'] as const) {
      if (values[flag] && dryRun) throw new UsageError(`--${flag} and --dry-run exclude each other`);
    }
    const { query, timeout } = releaseQuery(values);
    const file = await readConfigFile(name);
    const api = connect();
    const put = putConfig(api, tenant, file, { ...query, ...(dryRun ? { dry_run: 'true' } : {}) }, timeout);
    if (!dryRun) return released({ out, api, tenant, values }, put);
    const { body } = await put;
    if (out.json) out.data(body);
    else out.say(`${tenant}: valid, ${body.changed ? 'and would be a new release' : 'and nothing would change'}`);
    return OK;
  },
});
