import { ApiError } from '../client.ts';
import { type Call, defineCommand, NO, OK, UsageError } from '../command.ts';
import { readConfigFile } from '../config-file.ts';
import type { Output } from '../output.ts';
import { putConfig } from '../remote-config.ts';
import { printWorkers, type WorkerState } from '../workers-table.ts';

/** Beyond what the API itself waits. */
const GRACE_MS = 30_000;

const flags = {
  wait: { description: 'Wait until every live worker has answered; 0 only when all of them run it' },
  timeout: { value: 'TIME', description: 'How long to wait at most, such as 500ms, 30s, 2m; default 30s' },
  message: { value: 'TEXT', short: 'm', description: 'Why, for the history of releases' },
  'dry-run': { description: 'Check everything, store nothing' },
} as const;

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
  async run(call) {
    const { args, values, out } = call;
    const [tenant, name] = args as [string, string];
    if (values.wait && values['dry-run']) throw new UsageError('--wait and --dry-run exclude each other');
    if (values.timeout !== undefined && !values.wait) throw new UsageError('--timeout needs --wait');
    const timeout = values.timeout ?? '30s';
    const ms = milliseconds(timeout);
    const query = {
      ...(values['dry-run'] ? { dry_run: 'true' } : {}),
      ...(values.wait ? { wait: 'acked', timeout } : {}),
      ...(values.message === undefined ? {} : { message: values.message }),
    };
    const file = await readConfigFile(name);
    try {
      const { body } = await putConfig(call.connect(), tenant, file, query, ms + GRACE_MS);
      if (out.json) out.data(body);
      else out.say(sentence(tenant, body, call));
      return OK;
    } catch (error) {
      if (error instanceof ApiError && Array.isArray(error.problem.workers)) return notLive(out, error);
      throw error;
    }
  },
});

const units = { ms: 1, s: 1000, m: 60_000 } as const;

function milliseconds(text: string): number {
  const match = /^(\d{1,6})(ms|s|m)$/.exec(text);
  if (!match) throw new UsageError(`--timeout: "${text}" is not a number with ms, s or m, such as 30s`);
  return Number(match[1]) * units[match[2] as keyof typeof units];
}

interface Result {
  version: number;
  state: string;
  changed: boolean;
  summary?: { workers: number };
}

function sentence(tenant: string, result: Result, { values }: Call<{ 'dry-run': boolean }>): string {
  const { version, state, changed, summary } = result;
  if (values['dry-run'])
    return `${tenant}: valid, ${changed ? 'and would be a new release' : 'and nothing would change'}`;
  const release = changed ? `${tenant}: release ${version}` : `${tenant}: nothing changed, release ${version}`;
  const count = summary?.workers ?? 0;
  if (state === 'acked')
    return `${release} runs on ${count === 1 ? 'the one live worker' : `all ${count} live workers`}`;
  return state === 'pending'
    ? `${release} is stored; it goes out when the config store is back`
    : `${release} is published`;
}

/** The release is stored, and it is not the case that every live worker runs it. */
function notLive(out: Output, { problem, message }: ApiError): number {
  if (out.json) out.data(problem);
  else {
    out.say(`release ${problem.release} is stored, but does not run everywhere: ${problem.detail ?? message}`);
    printWorkers(out, problem.workers as WorkerState[]);
  }
  return NO;
}
