import { type Answer, ApiError } from './client.ts';
import { NO, OK, UsageError } from './command.ts';
import type { Output } from './output.ts';
import { printWorkers, type WorkerState } from './workers-table.ts';

/** Beyond what the API itself waits, ms. */
const GRACE_MS = 30_000;

/** Flags of every command that makes a release. */
export const waitFlags = {
  wait: { description: 'Wait until every live worker has answered; 0 only when all of them run it' },
  timeout: { value: 'TIME', description: 'How long to wait at most, such as 500ms, 30s, 2m; default 30s' },
  message: { value: 'TEXT', short: 'm', description: 'Why, for the history of releases' },
  publish: {
    value: 'now|hold',
    description:
      'hold: store the release for a rollout; now: publish what is held, too; default: now, unless one is held',
  },
} as const;

export interface WaitValues {
  readonly wait: boolean;
  readonly timeout: string | undefined;
  readonly message: string | undefined;
  readonly publish: string | undefined;
}

/** What a release turned out to be, as the API puts it. */
export interface ReleaseResult {
  readonly version: number;
  readonly state: string;
  readonly changed: boolean;
  readonly summary?: { readonly workers: number };
}

const units = { ms: 1, s: 1000, m: 60_000 } as const;

function milliseconds(text: string): number {
  const match = /^(\d{1,6})(ms|s|m)$/.exec(text);
  if (!match) throw new UsageError(`--timeout: "${text}" is not a number with ms, s or m, such as 30s`);
  return Number(match[1]) * units[match[2] as keyof typeof units];
}

/** The query of a write, and how long its answer may take, ms. */
export function waitQuery(values: WaitValues): { query: Record<string, string>; timeout: number } {
  if (values.timeout !== undefined && !values.wait) throw new UsageError('--timeout needs --wait');
  if (values.publish !== undefined && values.publish !== 'now' && values.publish !== 'hold') {
    throw new UsageError(`--publish: "${values.publish}" is neither now nor hold`);
  }
  if (values.publish === 'hold' && values.wait) throw new UsageError('--publish hold and --wait exclude each other');
  const timeout = values.timeout ?? '30s';
  return {
    query: {
      ...(values.wait ? { wait: 'acked', timeout } : {}),
      ...(values.message === undefined ? {} : { message: values.message }),
      ...(values.publish === undefined ? {} : { publish: values.publish }),
    },
    timeout: milliseconds(timeout) + GRACE_MS,
  };
}

/** Shows what became of a release, also when not every worker runs it; answers the exit code. */
export async function release(out: Output, tenant: string, asked: Promise<Answer>, wait: boolean): Promise<number> {
  try {
    const { body } = await asked;
    if (out.json) out.data(body);
    else out.say(sentence(tenant, body));
    // Who waited wants it to be served.
    return wait && body.state === 'held' ? NO : OK;
  } catch (error) {
    if (!(error instanceof ApiError) || !Array.isArray(error.problem.workers)) throw error;
    const { problem, message } = error;
    if (out.json) out.data(problem);
    else {
      out.say(`release ${problem.release} is stored, but does not run everywhere: ${problem.detail ?? message}`);
      printWorkers(out, problem.workers as WorkerState[]);
    }
    return NO;
  }
}

function sentence(tenant: string, { version, state, changed, summary }: ReleaseResult): string {
  const made = changed ? `${tenant}: release ${version}` : `${tenant}: nothing changed, release ${version}`;
  const count = summary?.workers ?? 0;
  if (state === 'acked') return `${made} runs on ${count === 1 ? 'the one live worker' : `all ${count} live workers`}`;
  if (state === 'held') return `${made} is held: it is stored, and the one before goes on being served`;
  return state === 'pending' ? `${made} is stored; it goes out when the config store is back` : `${made} is published`;
}
