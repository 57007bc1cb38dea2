/** One page for each kind of config object. */
import type { Family, Kind } from '@arcus/gateway/kind.ts';
import { stringify } from 'yaml';
import { z } from 'zod';
import { type JsonSchema, rowsOf } from './schema.ts';
import { table } from './table.ts';

const titles = {
  servers: 'Servers',
  escapers: 'Escapers',
  resolvers: 'Resolvers',
  user_groups: 'User groups',
  auditors: 'Auditors',
  policies: 'Policies',
} as const satisfies Record<Family, string>;

export const familyTitle = (family: Family): string => titles[family];

export function kindPage(kind: Kind): string {
  const schema = z.toJSONSchema(kind.config, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
  const example = { [kind.family]: kind.examples };
  return [
    `# ${kind.type}`,
    '',
    `${titles[kind.family]}. ${kind.description}.`,
    '',
    '## Fields',
    '',
    ...table(['Field', 'Type', 'Default', 'Meaning'], rowsOf(schema)),
    '',
    '## Examples',
    '',
    '```yaml',
    stringify(example, { lineWidth: 100 }).trimEnd(),
    '```',
    '',
  ].join('\n');
}
