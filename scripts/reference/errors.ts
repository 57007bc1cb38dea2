/** What goes wrong, with whom: the tables of the code. */
import { problemTable } from '@arcus/api/http/problem.ts';
import { type ErrorSpec, errorTable } from '@arcus/gateway/errors.ts';
import { table } from './table.ts';

export function errorsPage(): string {
  const sessions = Object.entries(errorTable as Record<string, ErrorSpec>).map(([name, spec]) => [
    `\`${name}\``,
    String(spec.status),
    spec.source,
    spec.retryable ? 'yes' : 'no',
    spec.title,
  ]);
  const problems = Object.entries(problemTable).map(([name, [status, title]]) => [
    `\`urn:arcus:problem:${name}\``,
    String(status),
    `${title}.`,
  ]);
  return [
    '# Errors',
    '',
    '## Of the proxy',
    '',
    'The code is in the decision log and on the page that the user sees.',
    '',
    ...table(['Code', 'HTTP', 'Whose doing', 'May a retry help?', 'Meaning'], sessions),
    '',
    '## Of the management API',
    '',
    'As RFC 9457 problem details; `errors` lists every fault with a JSON pointer.',
    '',
    ...table(['Type', 'HTTP', 'Meaning'], problems),
    '',
  ].join('\n');
}
