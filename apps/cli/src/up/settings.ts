import { isIP } from 'node:net';
import { join } from 'node:path';
import { CommandError } from '../command.ts';
import { dataFolder, embeddedDatabase, embeddedStore } from '../paths.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** What `arcus up` is told by the environment. */
export interface Settings {
  readonly data: string;
  readonly api: Address;
  readonly proxy: Address;
  /** Of the API's health alone. */
  readonly health: Address;
  readonly admin: Address;
  /** The environment of api and worker, complete but for what is made at the start. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Parsed once; throws CommandError that names the variable. */
export function readSettings(source: NodeJS.ProcessEnv): Settings {
  const data = dataFolder(source);
  const api = address(source, 'ARCUS_API_LISTEN', '127.0.0.1:7700');
  const proxy = address(source, 'ARCUS_PROXY_LISTEN', '127.0.0.1:7800');
  const admin = address(source, 'ARCUS_ADMIN_LISTEN', '127.0.0.1:7900');
  const health = address(source, 'ARCUS_HEALTH_LISTEN', '127.0.0.1:7701');
  return {
    data,
    api,
    proxy,
    health,
    admin,
    env: {
      ...source,
      ARCUS_DATA: data,
      ARCUS_API_LISTEN: text(api),
      ARCUS_ADMIN_LISTEN: text(admin),
      ARCUS_DATABASE_URL: source.ARCUS_DATABASE_URL || embeddedDatabase(source),
      ARCUS_STORE_URL: source.ARCUS_STORE_URL || embeddedStore(source),
      ARCUS_DECISION_LOG: source.ARCUS_DECISION_LOG || join(data, 'decisions.log'),
      ARCUS_LOG_LEVEL: source.ARCUS_LOG_LEVEL || 'warn',
      ARCUS_DRAIN_SECONDS: source.ARCUS_DRAIN_SECONDS || '10',
    },
  };
}

/** `address:port`, IPv6 in brackets. */
export const text = ({ host, port }: Address): string => `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;

/** How this machine reaches what listens there: a wildcard is no address to dial. */
export function reachable({ host, port }: Address): Address {
  if (host === '0.0.0.0') return { host: '127.0.0.1', port };
  return host === '::' ? { host: '::1', port } : { host, port };
}

export function parseAddress(value: string): Address | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(value);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  return isIP(host) !== 0 && port >= 1 && port <= 65_535 ? { host, port } : null;
}

function address(source: NodeJS.ProcessEnv, name: string, fallback: string): Address {
  const found = parseAddress(source[name] || fallback);
  if (found === null) {
    throw new CommandError(`${name}: "${source[name]}" is not address:port, such as ${fallback} or [::1]:7700`);
  }
  return found;
}
