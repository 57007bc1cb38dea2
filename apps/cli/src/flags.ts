import type { Flag } from './command.ts';

/** Flags that every command takes. */
export const commonFlags = {
  json: { description: 'Print the result, or the error, as JSON' },
  help: { short: 'h', description: 'Show this help' },
} as const satisfies Record<string, Flag>;

/** Flags of every command that talks to the management API. */
export const remoteFlags = {
  api: { value: 'URL', description: 'The management API; default $ARCUS_API, else the running `arcus up`' },
  token: { value: 'TOKEN', description: 'A bearer token; default $ARCUS_TOKEN (a flag can be seen by other users)' },
} as const satisfies Record<string, Flag>;
