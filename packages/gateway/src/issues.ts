import type { z } from 'zod';
import { type Fault, pointer } from './fault.ts';

type Issue = z.core.$ZodIssue;

/**
 * Faults from a zod error, each at the value it is about. Messages come from the schema and never repeat a value,
 * which might be a secret.
 */
export function faultsOf(error: z.ZodError, input: unknown): Fault[] {
  const faults = error.issues.flatMap((issue) => fromIssue(issue, [], input));
  // A number beyond what a number can hold is beyond the field's own bound too: the last one says that.
  const last = new Map(faults.map((fault) => [`${fault.code} ${fault.pointer}`, fault]));
  return faults.filter(
    (fault) => !/^too_(?:big|small)$/.test(fault.code) || last.get(`${fault.code} ${fault.pointer}`) === fault,
  );
}

function fromIssue(issue: Issue, base: readonly PropertyKey[], input: unknown): Fault[] {
  const path = [...base, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      pointer: pointer(...path, key),
      code: 'unknown_key',
      message: `unknown key "${key}"`,
    }));
  }
  if (issue.code === 'invalid_union') {
    // The branch that got furthest is the one that was meant: one that does not complain about the value as a whole.
    const branch = issue.errors.find((issues) => issues.length > 0 && issues.every((i) => i.path.length > 0));
    if (branch) return branch.flatMap((i) => fromIssue(i, path, input));
    const wanted = issue.errors.flatMap((issues) => issues.flatMap((i) => ('expected' in i ? [i.expected] : [])));
    const plain = issue.errors.find((issues) => issues.length > 0 && issues.every((i) => i.code !== 'invalid_type'));
    if (plain) return plain.flatMap((i) => fromIssue(i, path, input));
    return [{ pointer: pointer(...path), code: 'invalid_type', message: `must be ${wanted.join(' or ')}` }];
  }
  const missing = issue.code === 'invalid_type' && valueAt(input, path) === undefined;
  return [
    {
      pointer: pointer(...path),
      code: missing ? 'required' : issue.code === 'custom' ? (issue.params?.code ?? 'invalid_value') : issue.code,
      message: missing ? 'is required' : plainly(issue),
    },
  ];
}

function plainly(issue: Issue): string {
  return issue.message
    .replace(/^Invalid input: expected (\w+), received .*$/, 'must be $1')
    .replace(
      /^Invalid option: expected one of (.*)$/,
      (_, list: string) => `must be one of ${list.replaceAll('|', ', ')}`,
    )
    .replace(/^Too small: expected \w+ to (?:be|have) >=(.*)$/, 'must be at least $1')
    .replace(/^Too small: expected number to be >(.*)$/, 'must be more than $1')
    .replace(/^Too big: expected \w+ to (?:be|have) <=(.*)$/, 'must be at most $1')
    .replace(/^Invalid input$/, 'is not valid');
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value: any = input;
  for (const key of path) value = value?.[key];
  return value;
}
