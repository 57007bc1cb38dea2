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
  rollout: { state: string; phase: string; step: number; steps: number } | null;
  moving: { since: string } | null;
  store: 'here' | 'away';
  summary: { workers: number; applied: number; lost: number; converged: boolean };
  workers: WorkerState[];
}

export const status = defineCommand({
  name: 'status',
  summary: 'Show which release runs where; without TENANT: of all tenants',
  args: ['[TENANT]'],
  flags: {},
  remote: true,
  notes:
    'Exit code: 0 every worker runs the newest release (of each tenant), 1 not so: one does not, or is lost; a release is\n' +
    'held or rolled out; the tenant moves to other workers; or the config store is away, so that nobody knows.',
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
      out.table([['TENANT', 'RELEASE', 'STABLE', 'STATE', 'WORKERS'], ...all.map(row)]);
      // Who differs is worth more than the count.
      for (const one of all.filter((s) => !fine(s))) {
        out.say(sentence(one));
        printWorkers(out, one.workers);
      }
    } else {
      out.say(sentence(all[0]!));
      printWorkers(out, all[0]!.workers);
    }
    return all.every(fine) ? OK : NO;
  },
});

const fine = ({ state, moving, store, summary }: ConfigStatus): boolean =>
  state === 'none' || (state === 'published' && moving === null && store === 'here' && summary.converged);

const row = ({
  tenant_id,
  version,
  stable_version,
  state,
  rollout,
  moving,
  store,
  summary,
}: ConfigStatus): string[] => [
  tenant_id,
  String(version),
  String(stable_version),
  (rollout ? `rollout ${rollout.step}/${rollout.steps}, ${rollout.state}` : state) + (moving ? ', moving' : ''),
  store === 'away' ? 'not known' : `${summary.applied} of ${summary.workers}${lostOf(summary)}`,
];

const lostOf = ({ lost }: ConfigStatus['summary']): string => (lost > 0 ? `, ${lost} lost` : '');

function sentence(one: ConfigStatus): string {
  const { tenant_id, version, stable_version, state, rollout, moving, store, summary } = one;
  if (state === 'none') return `${tenant_id}: there is no release yet`;
  const newest = rollout
    ? `release ${version} is rolled out, step ${rollout.step} of ${rollout.steps} (${rollout.state}, ${rollout.phase})`
    : `release ${version} is held`;
  const count = `${summary.applied} of ${summary.workers} live workers${lostOf(summary)}`;
  // Who is not in a rollout is right to run another release than the newest.
  const held = state === 'held';
  const releases = held ? `${newest}, release ${stable_version} is stable` : `release ${version}, ${state}`;
  const who =
    store === 'away'
      ? '; the config store is away: who runs what is not known'
      : held
        ? `; ${count} run what they should`
        : `, runs on ${count}`;
  const moves = moving
    ? `; it moves to other workers since ${moving.since}, and runs where it ran until they have it`
    : '';
  return `${tenant_id}: ${releases}${who}${moves}`;
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
