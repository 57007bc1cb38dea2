import type { Config } from '@arcus/gateway/config.ts';
import { defineCommand, NO, OK } from '../command.ts';
import { readConfigFile } from '../config-file.ts';
import { diffConfigs, type FieldChange, type ObjectChange } from '../diff.ts';
import type { Output } from '../output.ts';
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
    else for (const change of changes) print(out, change);
    return changes.length === 0 ? OK : NO;
  },
});

const signs = { added: ['green', '+'], removed: ['red', '-'], changed: ['yellow', '~'] } as const;

function print(out: Output, { family, name, change, fields }: ObjectChange): void {
  const [colour, sign] = signs[change];
  out.say(out.style(colour, `${sign} ${family}/${name}`));
  for (const field of fields) out.say(`    ${field.pointer}: ${describe(field)}`);
}

function describe(field: FieldChange): string {
  if (!('before' in field)) return `${show(field.after)} (new)`;
  if (!('after' in field)) return `${show(field.before)} (gone)`;
  return `${show(field.before)} → ${show(field.after)}`;
}

const SHOWN = 120;

function show(value: unknown): string {
  const text = JSON.stringify(value, (_, v) => (typeof v === 'string' && v.startsWith('sealed:') ? '(secret)' : v));
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}
