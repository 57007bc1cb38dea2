import { ask, path } from '../client.ts';
import { defineCommand, OK, UsageError } from '../command.ts';
import { ofTenant } from '../remote-config.ts';

interface Release {
  version: number;
  state: string;
  created_at: string;
  author: string;
  added: number;
  changed: number;
  removed: number;
  message: string;
}

export const releases = defineCommand({
  name: 'releases',
  summary: 'List the releases of a tenant, newest first: who made them, why, and how much they changed',
  args: ['TENANT'],
  flags: { limit: { value: 'COUNT', short: 'n', description: 'How many at most, 1 to 1000; default 20' } },
  remote: true,
  examples: ['arcus releases acme', 'arcus releases acme -n 100 --json'],
  async run({ args, values, out, connect }) {
    const limit = values.limit ?? '20';
    if (!/^[1-9]\d{0,3}$/.test(limit) || Number(limit) > 1000) {
      throw new UsageError(`--limit: "${limit}" is not a number from 1 to 1000`);
    }
    const { body } = await ofTenant(
      args[0]!,
      ask(connect(), `${path('tenants', args[0]!, 'releases')}?limit=${limit}`),
    );
    const items = body.items as Release[];
    if (out.json) out.data(items);
    else out.table([['VERSION', 'STATE', 'MADE', 'BY', 'OBJECTS', 'MESSAGE'], ...items.map(row)]);
    return OK;
  },
});

const row = ({ version, state, created_at, author, added, changed, removed, message }: Release): string[] => [
  ...[String(version), state, created_at.slice(0, 19).replace('T', ' '), author],
  ...[`+${added} ~${changed} -${removed}`, message.split('\n', 1)[0]!],
];
