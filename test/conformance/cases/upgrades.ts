import { type Case, get, got, gotOf, ok, passes, type Topic } from '../lib/case.ts';

/** Which protocols a forward request may switch to, and what an auditor sees of them. */
const U = 'RFC 9110 section 7.8';
const W = 'RFC 6455 section 4.2.2';
const asks = (...protocols: string[]) => get('Connection: Upgrade', ...protocols.map((p) => `Upgrade: ${p}`));
const asked = (protocols: string, ...fields: string[]) =>
  `${gotOf('GET /', ...fields).replace(/Via.*$/s, '')}Connection: Upgrade\r\nUpgrade: ${protocols}\r\nVia: 1.1 arcus-test\r\n\r\n`;
const switched = (protocol: string, ...fields: string[]) =>
  `HTTP/1.1 101 Switching Protocols\r\n${fields.map((f) => `${f}\r\n`).join('')}Connection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;
/** The handshake of RFC 6455 section 1.3. */
const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
const accept = 'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=';
const handshake = get(key, 'Connection: Upgrade', 'Upgrade: websocket');

const inspected = (name: string, rfc: string, more: Partial<Case>): Case => ({
  name,
  rfc,
  inspect: true,
  client: [handshake, '\x81\x02hi'],
  origin: [switched('websocket', accept)],
  reached: asked('websocket', key),
  answers: [101],
  ...more,
});

export const upgrades: Topic = {
  name: 'protocols to switch to',
  cases: [
    passes('a protocol that is not allowed is not asked for', U, asks('ssh'), got()),
    passes(
      'h2c is not asked for',
      U,
      get('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AA'),
      got(),
    ),
    passes('TLS inside a forward request is not asked for', U, asks('TLS/1.0, HTTP/1.1'), got()),
    passes('an empty list of protocols allows none', U, asks('websocket'), got(), { server: { upgrades: [] } }),
    passes('a longer name that begins alike is not allowed', U, asks('websocketx', 'x-websocket'), got()),
    {
      name: 'a connection goes on after an upgrade that was not asked for',
      rfc: U,
      client: asks('h2c').repeat(2),
      origin: [ok('a'), ok('b')],
      reached: got().repeat(2),
      answers: [
        { status: 200, body: 'a', fields: { connection: null } },
        { status: 200, body: 'b', fields: { connection: null } },
      ],
    },
    {
      name: 'a switch that the site makes although it was not asked is 502',
      rfc: U,
      client: asks('h2c'),
      origin: [switched('h2c')],
      reached: got(),
      answers: [{ status: 502, code: 'upstream_invalid' }],
      pooled: 0,
    },
    {
      name: 'only the allowed ones of several protocols are asked for',
      rfc: U,
      client: asks('h2c, WebSocket', 'ssh'),
      origin: [switched('websocket')],
      reached: asked('WebSocket'),
      answers: [101],
    },
    {
      name: 'a switch to one of several that was taken out is 502',
      rfc: U,
      client: asks('h2c, websocket'),
      origin: [switched('h2c')],
      reached: asked('websocket'),
      answers: [502],
      pooled: 0,
    },
    {
      name: 'a protocol that the config names may be switched to, in any version',
      rfc: U,
      server: { upgrades: ['IRC'] },
      client: [asks('irc/6.9'), 'NICK x'],
      origin: [switched('irc/6.9')],
      reached: `${asked('irc/6.9')}NICK x`,
      answers: [101],
    },
    inspected('an auditor knows a WebSocket whose handshake was accepted', W, {
      reached: `${asked('websocket', key)}\x81\x02hi`,
    }),
    inspected('an auditor looks at what follows a handshake that was not accepted', W, {
      origin: [switched('websocket', accept.replace('s3p', 'S3P'))],
      end: 'reset',
    }),
    inspected('an auditor looks at what follows a handshake without a key', W, {
      client: [asks('websocket'), 'hello'],
      origin: [switched('websocket', accept)],
      reached: asked('websocket'),
      end: 'reset',
    }),
    inspected('what an auditor does not know never reaches the site after 101', U, {
      server: { upgrades: ['mine'] },
      client: [asks('mine'), '\0\x01unknown'],
      origin: [switched('mine')],
      reached: asked('mine'),
      end: 'reset',
    }),
    inspected('what came ahead of 101 is looked at as well', U, {
      server: { upgrades: ['mine'] },
      client: `${asks('mine')}\0\x01unknown`,
      origin: [switched('mine')],
      reached: asked('mine'),
      end: 'reset',
    }),
    inspected('an auditor lets through what it knows after 101', U, {
      server: { upgrades: ['mine'] },
      client: [asks('mine'), 'SSH-2.0-x\r\n'],
      origin: [switched('mine')],
      reached: `${asked('mine')}SSH-2.0-x\r\n`,
    }),
  ],
};
