/** Environment variables: what the programs themselves parse. */
import { ApiEnv } from '@arcus/api/env.ts';
import { WorkerEnv } from '@arcus/worker/env.ts';
import { z } from 'zod';
import { type JsonSchema, rowsOf } from './schema.ts';
import { table } from './table.ts';

function variables(schema: z.ZodType): string[][] {
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
  return rowsOf(json).map(([name = '', , fallback = '', meaning = '']) => [name, fallback, meaning]);
}

export function environmentPage(): string {
  const head = ['Variable', 'Default', 'Meaning'];
  return [
    '# Environment variables',
    '',
    'An empty variable is one that is not set. `arcus up` takes all of them, and sets those that it brings itself.',
    '',
    '## Management API',
    '',
    ...table(head, variables(ApiEnv)),
    '',
    '## Worker',
    '',
    ...table(head, variables(WorkerEnv)),
    '',
    '## arcus up',
    '',
    ...table(head, [
      ['`ARCUS_DATA`', '`.data` in the project', 'Folder of everything that is kept'],
      ['`ARCUS_HEALTH_LISTEN`', '`"127.0.0.1:7701"`', 'address:port of the API’s health alone, for the demo tenant'],
      ['`ARCUS_PROXY_LISTEN`', '`"127.0.0.1:7800"`', 'address:port of the demo tenant’s proxy'],
    ]),
    '',
    '## The command arcus',
    '',
    ...table(head, [
      ['`ARCUS_API`', 'the running `arcus up`', 'URL of the management API'],
      ['`ARCUS_TOKEN`', 'that of the running `arcus up`', 'A bearer token'],
      ['`NO_COLOR`', '', 'No colours, also on a terminal'],
    ]),
    '',
  ].join('\n');
}
