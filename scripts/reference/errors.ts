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
    'As RFC 9457 problem details; `errors` lists every fault with a JSON pointer. Where it points:',
    '',
    '- Into the body of the request, when the fault is in what was sent: `/escapers/0/type` of a config that is put,',
    '  `/config/escapers/0/type` of a tenant that is created with its config, `/type` of one escaper that is put.',
    '- Into the release, `/config/escapers/0/type`, when it is in what was not sent: what a rollback or a deletion would',
    '  lead to, the rest of the config when one object is put, and what workers refuse. Lists are in the order of names.',
    '- Into the draft, as its `…/config` shows it, when a draft is validated or applied.',
    '- `/query/<name>` and `/params/<name>` are the parameters of the query and of the path.',
    '',
    ...table(['Type', 'HTTP', 'Meaning'], problems),
    '',
  ].join('\n');
}
