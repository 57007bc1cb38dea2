import type { Fault } from '@arcus/gateway/fault.ts';
import { z } from 'zod';

/** What the API refuses with: one row per code. `type` of an answer is `urn:arcus:problem:<code>`. */
export const problemTable = {
  bad_request: [400, 'The request cannot be understood'],
  unauthorized: [401, 'A valid bearer token is needed'],
  forbidden: [403, 'This token may not do that'],
  not_found: [404, 'There is no such thing'],
  method_not_allowed: [405, 'This method is not offered here'],
  conflict: [409, 'It does not go with what is there now'],
  release_refused: [409, 'The release is stored, and at least one worker refused it'],
  precondition_failed: [412, 'It was changed by somebody else'],
  too_large: [413, 'The body is too large'],
  unsupported_media_type: [415, 'The body is of a kind that is not taken here'],
  invalid: [422, 'The document has faults'],
  precondition_required: [428, 'If-Match is needed to change what exists'],
  internal: [500, 'The management service failed'],
  unavailable: [503, 'A part that this needs cannot be reached'],
  release_unacknowledged: [504, 'The release is stored, and not every worker has answered for it'],
} as const satisfies Record<string, readonly [status: number, title: string]>;

export type ProblemCode = keyof typeof problemTable;

/** Faults in one answer. */
const SHOWN = 100;

export const ProblemBody = z
  .object({
    type: z.string().describe('urn:arcus:problem:<code>'),
    title: z.string(),
    status: z.int(),
    detail: z.string().optional(),
    instance: z.string().optional().describe('Id of the request, as in the log and in X-Request-Id'),
    errors: z
      .array(
        z.object({
          pointer: z.string().describe('JSON Pointer (RFC 6901) of the fault'),
          message: z.string(),
          code: z.string(),
          line: z.int().optional().describe('Of the body, from 1, when its text cannot be read'),
          column: z.int().optional(),
        }),
      )
      .optional()
      .describe(`All faults, never only the first; ${SHOWN} at most`),
    errors_total: z.int().optional().describe(`How many faults were found, when there are more than ${SHOWN}`),
  })
  .meta({ id: 'Problem', description: 'Problem details (RFC 9457)' });

/** Thrown anywhere below a route: becomes an answer of type application/problem+json. */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly faults: readonly Fault[] | undefined;
  /** More members of the answer. */
  readonly extra: Record<string, unknown>;

  constructor(
    code: ProblemCode,
    detail?: string,
    more: { faults?: readonly Fault[]; extra?: object; cause?: unknown } = {},
  ) {
    super(detail ?? problemTable[code][1], { cause: more.cause });
    this.name = 'Problem';
    this.code = code;
    this.faults = more.faults;
    this.extra = { ...more.extra };
  }

  get status(): number {
    return problemTable[this.code][0];
  }

  body(instance: string): Record<string, unknown> {
    const [status, title] = problemTable[this.code];
    return {
      type: `urn:arcus:problem:${this.code}`,
      title,
      status,
      ...(this.message === title ? {} : { detail: this.message }),
      instance,
      ...(this.faults ? { errors: this.faults.slice(0, SHOWN) } : {}),
      ...(this.faults && this.faults.length > SHOWN ? { errors_total: this.faults.length } : {}),
      ...this.extra,
    };
  }
}

/** 422 with these faults. */
export const invalid = (faults: readonly Fault[]): Problem =>
  new Problem('invalid', faults.length === 1 ? sentenceOf(faults[0]!) : `${faults.length} faults`, { faults });

/** What a fault says, with the field that it is about: "escapers/0/type is required". */
export function sentenceOf({ pointer, message, code }: Fault): string {
  // The message names the key itself.
  const field = (code === 'unknown_key' ? pointer.replace(/\/[^/]*$/, '') : pointer).slice(1);
  if (field === '') return message;
  return PREDICATE.test(message) ? `${field} ${message}` : `${field}: ${message}`;
}

/** How messages begin that say something of their field; others are sentences of their own. */
const PREDICATE = /^(?:is|must|cannot|needs|has|goes) /;

/**
 * Names what is not there. One answer for a tenant that does not exist and for one that the caller may not know of: they
 * must not be told apart.
 */
export const notFound = (what: string, name: string): Problem =>
  new Problem('not_found', `There is no ${what} ${JSON.stringify(name)}`);
