import { ask, path } from '../client.ts';
import { defineCommand, OK } from '../command.ts';

interface Draft {
  name: string;
  changes: number;
  base_version: number;
  author: string;
  expires_at: string;
  message: string;
}

export const draftList = defineCommand({
  name: 'draft list',
  summary: 'List the drafts of a tenant',
  args: ['TENANT'],
  flags: {},
  remote: true,
  examples: ['arcus draft list acme'],
  async run({ args, out, connect }) {
    const api = connect();
    const drafts: Draft[] = [];
    let cursor: string | null = null;
    do {
      const query = new URLSearchParams({ limit: '1000', ...(cursor === null ? {} : { cursor }) });
      const { body } = await ask(api, `${path('tenants', args[0]!, 'drafts')}?${query}`);
      drafts.push(...(body.items as Draft[]));
      cursor = body.next_cursor;
    } while (cursor !== null);
    if (out.json) out.data(drafts);
    else out.table([['DRAFT', 'CHANGES', 'BASE', 'BY', 'EXPIRES', 'MESSAGE'], ...drafts.map(row)]);
    return OK;
  },
});

const row = ({ name, changes, base_version, author, expires_at, message }: Draft): string[] => [
  ...[name, String(changes), String(base_version), author, expires_at.slice(0, 10), message],
];
