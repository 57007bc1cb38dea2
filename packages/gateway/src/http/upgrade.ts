/** Upgrade on a forward request: RFC 9110 section 7.8. */
import { createHash } from 'node:crypto';
import type { RequestHead } from '@arcus/protocol/http1/request.ts';
import type { ResponseHead } from '@arcus/protocol/http1/response.ts';

const split = (list: string): string[] =>
  list
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

/**
 * Those of the protocols of `list` (an Upgrade field) that `allowed` names, lower case, with or without a version;
 * spelled as they came.
 */
export function allowedUpgrades(list: string, allowed: ReadonlySet<string>): string {
  return split(list)
    .filter((part) => {
      const name = part.toLowerCase();
      const slash = name.indexOf('/');
      return allowed.has(name) || (slash > 0 && allowed.has(name.slice(0, slash)));
    })
    .join(', ');
}

/** A switch is only to protocols that were offered. Both are lists. */
export function offered(list: string, chosen: string): boolean {
  const offers = split(list.toLowerCase());
  const choice = split(chosen.toLowerCase());
  return choice.length > 0 && choice.every((protocol) => offers.includes(protocol));
}

const field = (kept: string, name: string): string =>
  new RegExp(`(?:^|\\n)${name}:[ \\t]*([^\\r\\n]*?)[ \\t]*\\r`, 'i').exec(kept)?.[1] ?? '';

/** Did the site accept a WebSocket handshake, so that both sides speak WebSocket now? RFC 6455 section 4.2.2. */
export function isWebSocket(request: RequestHead, response: ResponseHead): boolean {
  const key = field(request.kept, 'sec-websocket-key');
  if (response.upgrade.toLowerCase() !== 'websocket' || key === '') return false;
  const expected = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  return field(response.kept, 'sec-websocket-accept') === expected;
}
