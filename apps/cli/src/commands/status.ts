import { ask, path } from '../client.ts';
import { defineCommand, NO, OK } from '../command.ts';
import type { Connection } from '../connection.ts';
import { configPath, ofTenant } from '../remote-config.ts';
import { printWorkers, type WorkerState } from '../workers-table.ts';

interface ConfigStatus {
  tenant_id: string;
  version: number;
  stable_version: number;
  state: string;
  summary: { workers: number; applied: number; converged: boolean };
  workers: WorkerState[];
}

export const status = defineCommand({
  name: 'status',
  summary: 'Show which release runs where; without TENANT: of all tenants',
  args: ['[TENANT]'],
  flags: {},
  remote: true,
  notes: 'Exit code: 0 every live worker runs the newest release (of each tenant), 1 not so.',
  examples: ['arcus status', 'arcus status acme --json'],
  async run({ args, out, connect }) {
    const api = connect();
    const tenants = args[0] === undefined ? await tenantIds(api) : [args[0]];
    const all: ConfigStatus[] = [];
    for (const tenant of tenants) {
      all.push((await ofTenant(tenant, ask(api, `${configPath(tenant)}/status`))).body);
    }
    if (out.json) out.data(args[0] === undefined ? all : all[0]);
    else if (args[0] === undefined) {
      out.table([['TENANT', 'RELEASE', 'STATE', 'WORKERS'], ...all.map(row)]);
      // Who differs is worth more than the count.
      for (const one of all.filter((s) => !fine(s))) {
        out.say(`${one.tenant_id}:`);
        printWorkers(out, one.workers);
      }
    } else {
      out.say(sentence(all[0]!));
      printWorkers(out, all[0]!.workers);
    }
    return all.every(fine) ? OK : NO;
  },
});

const fine = ({ state, summary }: ConfigStatus): boolean =>
  state === 'none' || (state === 'published' && summary.converged);

const row = ({ tenant_id, version, state, summary }: ConfigStatus): string[] => [
  tenant_id,
  String(version),
  state,
  `${summary.applied} of ${summary.workers}`,
];

function sentence({ tenant_id, version, stable_version, state, summary }: ConfigStatus): string {
  const count = `${summary.applied} of ${summary.workers} live workers`;
  // Who is not in a rollout is right to run another release than the newest.
  if (state === 'held') {
    return `${tenant_id}: release ${version} is held, release ${stable_version} is stable; ${count} run what they should`;
  }
  return `${tenant_id}: release ${version}, ${state}, runs on ${count}`;
}

async function tenantIds(api: Connection): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams({ limit: '200', ...(cursor === null ? {} : { cursor }) });
    const { body } = await ask(api, `${path('tenants')}?${query}`);
    ids.push(...body.items.map((t: { tenant_id: string }) => t.tenant_id));
    cursor = body.next_cursor ?? null;
  } while (cursor !== null);
  return ids;
}
