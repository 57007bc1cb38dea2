import { readClientHello } from '@arcus/protocol/client-hello.ts';
import type { Inspection } from '../kind.ts';

/** What a client says first, in protocols in which the client speaks first. Text is matched whatever its case. */
const openings: readonly (readonly [string, readonly string[]])[] = [
  [
    'http',
    ['GET ', 'HEAD ', 'POST ', 'PUT ', 'DELETE ', 'OPTIONS ', 'PATCH ', 'TRACE ', 'CONNECT ', 'PROPFIND ', 'REPORT '],
  ],
  ['http2', ['PRI * HTTP/2.0\r\n']],
  ['ssh', ['SSH-2.0-', 'SSH-1.99-', 'SSH-1.5-']],
  ['smtp', ['EHLO ', 'HELO ', 'LHLO ']],
  ['rtsp', ['DESCRIBE RTSP://', 'SETUP RTSP://', 'OPTIONS RTSP://']],
  ['bittorrent', ['\x13BITTORRENT PROTOCOL']],
  ['rfb', ['RFB 00']],
  ['xmpp', ["<?XML VERSION='1.0'", '<?XML VERSION="1.0"', '<STREAM:STREAM']],
];
const LONGEST = 24;

/** Tells a protocol by the first bytes that a client sends. */
export function recognize(first: Uint8Array): Inspection {
  if (first[0] === 0x16) {
    const hello = readClientHello(first);
    if (hello.state === 'invalid') return { protocol: 'unknown' };
    if (hello.state === 'partial') return { protocol: first.length < 6 ? 'unknown' : 'tls', more: true };
    return hello.serverName ? { protocol: 'tls', server_name: hello.serverName } : { protocol: 'tls' };
  }
  const text = Buffer.from(first.buffer, first.byteOffset, Math.min(first.length, LONGEST))
    .toString('latin1')
    .toUpperCase();
  let partial = first.length === 0;
  let best = '';
  let length = 0;
  for (const [protocol, starts] of openings) {
    for (const start of starts) {
      if (text.startsWith(start) && start.length > length) {
        best = protocol;
        length = start.length;
      } else if (text.length < start.length && start.startsWith(text)) partial = true;
    }
  }
  if (best) return { protocol: best };
  return partial ? { protocol: 'unknown', more: true } : { protocol: 'unknown' };
}
