import { isIP } from 'node:net';
import { z } from 'zod';
import type { ListenAddress } from '../kind.ts';

/** `ip:port` or `[ipv6]:port` -> its parts, or null. */
export function readListen(text: string): ListenAddress | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})$/.exec(text);
  if (match === null) return null;
  const host = (match[1] ?? match[2])!.toLowerCase();
  const port = Number(match[3]);
  if (isIP(host) !== (match[1] === undefined ? 4 : 6) || port < 1 || port > 65_535) return null;
  return { host, port };
}

/** As `readListen`, for an address that the schema has let through. */
export function parseListen(text: string): ListenAddress {
  const address = readListen(text);
  if (address === null) throw new Error(`not a listen address: ${text}`);
  return address;
}

export const listenConfig = z
  .strictObject({
    address: z
      .string()
      .refine(
        (text) => readListen(text) !== null,
        'must be an IP address and a port, such as 127.0.0.1:8080 or [::]:8080',
      )
      .describe('IP address and port, such as 0.0.0.0:8080 or [::]:8080'),
  })
  .describe('Where the server listens');
