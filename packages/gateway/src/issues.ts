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
  const absent = valueAt(input, path) === undefined;
  if (issue.code === 'invalid_union' && !absent) {
    // What the schema itself says of all its branches.
    if (!isStock(issue)) return [{ pointer: pointer(...path), code: 'invalid_value', message: issue.message }];
    // The branch that got furthest is the one that was meant: one that does not complain about the value as a whole.
    const branch = issue.errors.find((issues) => issues.length > 0 && issues.every((i) => i.path.length > 0));
    if (branch) return branch.flatMap((i) => fromIssue(i, path, input));
    const wanted = issue.errors.flatMap((issues) =>
      issues.flatMap((i) => ('expected' in i ? [named(i.expected)] : [])),
    );
    const plain = issue.errors.find((issues) => issues.length > 0 && issues.every((i) => i.code !== 'invalid_type'));
    if (plain) return plain.flatMap((i) => fromIssue(i, path, input));
    return [{ pointer: pointer(...path), code: 'invalid_type', message: `must be ${wanted.join(' or ')}` }];
  }
  if (absent && /^invalid_(?:type|value|union)$/.test(issue.code)) {
    const choice = issue.code === 'invalid_value' && issue.values.length > 1 ? `: one of ${listed(issue.values)}` : '';
    return [{ pointer: pointer(...path), code: 'required', message: `is required${choice}` }];
  }
  const code = issue.code === 'custom' ? (issue.params?.code ?? 'invalid_value') : issue.code;
  return [{ pointer: pointer(...path), code, message: plainly(issue) }];
}

const listed = (values: readonly unknown[]): string => values.map((value) => JSON.stringify(value)).join(', ');

/** Is the message zod's own, and not the schema's? zod does not tell: ours begin in other words. */
const isStock = ({ message }: { message?: string }): boolean =>
  /^(?:Invalid|Too (?:small|big)|Unrecognized)\b/.test(message ?? '');

/** What an issue says, in the words of who writes a config: zod speaks of types and of its own checks. */
function plainly(issue: Issue): string {
  if (!isStock(issue)) return issue.message;
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${named(issue.expected)}`;
    case 'invalid_value':
      return `must be ${issue.values.length === 1 ? '' : 'one of '}${listed(issue.values)}`;
    case 'too_small':
      return bound(issue.origin, issue.minimum, issue.exact ? 'exactly' : issue.inclusive ? 'at least' : 'more than');
    case 'too_big':
      return bound(issue.origin, issue.maximum, issue.exact ? 'exactly' : issue.inclusive ? 'at most' : 'less than');
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`;
    case 'invalid_key': {
      const [inner] = issue.issues;
      return `the key ${inner ? plainly(inner) : 'is not valid'}`;
    }
    case 'invalid_format':
      return formats[issue.format] === undefined ? 'has the wrong form' : `must be ${formats[issue.format]}`;
    default:
      return 'is not valid';
  }
}

const types: Record<string, string> = {
  array: 'a list',
  boolean: 'true or false',
  int: 'a whole number',
  null: 'null',
  number: 'a number',
  object: 'an object',
  record: 'an object',
  string: 'a string',
};
const named = (type: string): string => types[type] ?? type;

const formats: Record<string, string> = {
  base64: 'in base64',
  datetime: 'a date and time as in RFC 3339, such as 2030-01-31T12:00:00Z',
  ipv4: 'an IPv4 address',
  ipv6: 'an IPv6 address',
  url: 'a URL',
};

const counted: Record<string, readonly [one: string, many: string]> = {
  string: ['character', 'characters'],
  array: ['item', 'items'],
};

/** Of a number itself, or of how much there is of something. */
function bound(origin: string, limit: number | bigint, how: string): string {
  const units = counted[origin];
  if (!units) return how === 'exactly' ? `must be ${limit}` : `must be ${how} ${limit}`;
  const amount = Number(limit) === 1 ? `one ${units[0]}` : `${limit} ${units[1]}`;
  if (how === 'at least') return `needs at least ${amount}`;
  return `must have ${how} ${amount}`;
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value: any = input;
  for (const key of path) value = value?.[key];
  return value;
}
