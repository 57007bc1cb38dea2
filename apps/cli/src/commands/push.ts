import { defineCommand, OK, UsageError } from '../command.ts';
import { readConfigFile } from '../config-file.ts';
import { putConfig } from '../remote-config.ts';
import { release, waitFlags, waitQuery } from '../waiting.ts';

const flags = { ...waitFlags, 'dry-run': { description: 'Check everything, store nothing' } } as const;

export const push = defineCommand({
  name: 'push',
  summary: "Replace a tenant's config by a file's, and publish it",
  args: ['TENANT', 'FILE'],
  flags,
  remote: true,
  notes:
    'Exit code: 0 done; 1 the file has faults (nothing was stored: "file:line:col pointer message" for each), or, with\n' +
    '--wait, a worker refused the release or did not answer in time (it is stored, and who and why is said); 2 trouble.',
  examples: ['arcus push acme acme.yaml --wait', 'arcus push acme acme.yaml --wait --timeout 2m -m "block casinos"'],
  async run({ args, values, out, connect }) {
    const [tenant, name] = args as [string, string];
    const dryRun = values['dry-run'];
    if (values.wait && dryRun) throw new UsageError('--wait and --dry-run exclude each other');
    const { query, timeout } = waitQuery(values);
    const file = await readConfigFile(name);
    const put = putConfig(connect(), tenant, file, { ...query, ...(dryRun ? { dry_run: 'true' } : {}) }, timeout);
    if (!dryRun) return release(out, tenant, put);
    const { body } = await put;
    if (out.json) out.data(body);
    else out.say(`${tenant}: valid, ${body.changed ? 'and would be a new release' : 'and nothing would change'}`);
    return OK;
  },
});
