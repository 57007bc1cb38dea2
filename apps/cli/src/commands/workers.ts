import { ask, path } from '../client.ts';
import { defineCommand, OK, UsageError } from '../command.ts';

interface Worker {
  id: string;
  state: 'live' | 'lost';
  host: string;
  labels: Record<string, string>;
  tenants: number;
  refused: number;
  software: string;
  last_seen_at: string;
}

export const workers = defineCommand({
  name: 'workers',
  summary: 'List the workers: those that are alive, and those that were lost',
  args: [],
  flags: { state: { value: 'live|lost', description: 'Only these' } },
  remote: true,
  notes: 'A token of all tenants is needed. Who runs which release of a tenant says "arcus status TENANT".',
  examples: ['arcus workers', 'arcus workers --state lost --json'],
  async run({ values, out, connect }) {
    const { state } = values;
    if (state !== undefined && state !== 'live' && state !== 'lost') {
      throw new UsageError(`--state: "${state}" is neither live nor lost`);
    }
    const api = connect();
    const all: Worker[] = [];
    let cursor: string | null = null;
    do {
      const more = { ...(state === undefined ? {} : { state }), ...(cursor === null ? {} : { cursor }) };
      const { body } = await ask(api, `${path('workers')}?${new URLSearchParams({ limit: '200', ...more })}`);
      all.push(...(body.items as Worker[]));
      cursor = body.next_cursor ?? null;
    } while (cursor !== null);
    if (out.json) out.data(all);
    else
      out.table([
        ['WORKER', 'STATE', 'TENANTS', 'REFUSED', 'LAST SEEN', 'SOFTWARE', 'HOST', 'LABELS'],
        ...all.map(row),
      ]);
    return OK;
  },
});

const row = ({ id, state, host, labels, tenants, refused, software, last_seen_at }: Worker): string[] => [
  ...[id, state, String(tenants), String(refused), last_seen_at.slice(0, 19).replace('T', ' '), software, host],
  Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(','),
];
