import { CommandError, NO, TROUBLE } from './command.ts';
import type { Connection } from './connection.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: any;
}

interface Fault {
  pointer: string;
  message: string;
  code: string;
}

/** What the API refuses with (RFC 9457), as far as it is shown. */
export interface ProblemBody {
  type?: string;
  title?: string;
  detail?: string;
  errors?: Fault[];
  [extra: string]: unknown;
}

/** An answer that is not 2xx. */
export class ApiError extends CommandError {
  readonly status: number;
  readonly problem: ProblemBody;
  constructor(status: number, problem: ProblemBody) {
    const faults = (problem.errors ?? []).map((f) => `\n  ${f.pointer || '/'}  ${f.message}`).join('');
    super(`${problem.detail ?? problem.title ?? 'the API refused'} (HTTP ${status})${faults}`, {
      exitCode: status === 409 || status === 412 || status === 422 ? NO : TROUBLE,
      details: { status, ...problem },
    });
    this.status = status;
    this.problem = problem;
  }
}

export interface Request {
  readonly method?: string;
  readonly body?: string;
  readonly type?: string;
  readonly headers?: Record<string, string>;
  /** Milliseconds; default 60,000. */
  readonly timeout?: number;
}

/** Asks the management API. `path` begins below `/api/v1`. Throws ApiError, or CommandError when nobody answers. */
export async function ask({ api, token }: Connection, path: string, request: Request = {}): Promise<Answer> {
  const { method = 'GET', body, type = 'application/json', headers, timeout = 60_000 } = request;
  const url = new URL(`/api/v1${path}`, api);
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': type }),
        ...headers,
      },
      ...(body === undefined ? {} : { body }),
      signal: AbortSignal.timeout(timeout),
    });
    text = await response.text();
  } catch (error) {
    throw new CommandError(`${url.origin} does not answer: ${reason(error)}`);
  }
  const json = /json/.test(response.headers.get('content-type') ?? '') && text !== '';
  const parsed = json ? JSON.parse(text) : text;
  if (!response.ok) throw new ApiError(response.status, json ? parsed : {});
  return { status: response.status, headers: response.headers, body: parsed };
}

function reason(error: unknown): string {
  const { name, message, cause } = error as Error & { cause?: Error & { code?: string } };
  if (name === 'TimeoutError') return 'it took too long';
  return cause?.code === 'ECONNREFUSED' ? 'connection refused' : (cause?.message ?? message);
}

/** A path from its segments, each escaped. */
export const path = (...segments: readonly string[]): string =>
  segments.map((s) => `/${encodeURIComponent(s)}`).join('');
