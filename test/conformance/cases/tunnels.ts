import { type Case, FIN, get, gotOf, ok, RST, refused, request, type Topic } from '../lib/case.ts';

const C = 'RFC 9110 section 9.3.6';
const U = 'RFC 9110 section 7.8';
const connect = (target = 'o.example:443', ...fields: string[]) =>
  `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${fields.map((f) => `${f}\r\n`).join('')}\r\n`;
const tunnel = (name: string, rfc: string, more: Partial<Case>): Case => ({
  name,
  rfc,
  client: connect(),
  methods: ['CONNECT'],
  answers: [{ status: 200, fields: { 'content-length': null, 'transfer-encoding': null, via: null } }],
  reached: '',
  ...more,
});
const noTunnel = (name: string, rfc: string, client: string, status = 400) =>
  refused(name, rfc, client, status, { methods: ['CONNECT'] });
const ask = (...fields: string[]) => get('Connection: Upgrade', 'Upgrade: websocket', ...fields);
const asked = (...fields: string[]) =>
  `${gotOf('GET /', ...fields).replace(/Via.*$/s, '')}Connection: Upgrade\r\nUpgrade: websocket\r\nVia: 1.1 arcus-test\r\n\r\n`;
const switched = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
const upgrade = (name: string, more: Partial<Case>): Case => ({
  name,
  rfc: U,
  client: ask(),
  reached: asked(),
  origin: [switched],
  answers: [{ status: 101, fields: { connection: 'Upgrade', upgrade: 'websocket' } }],
  ...more,
});
const http10 = 'HTTP/1.0\r\nHost: o.example\r\n\r\n';

const inspected: Case[] = [
  tunnel('an auditor lets through what it knows, however it is cut', C, {
    inspect: true,
    client: [connect(), 'SSH-2.0-x\r\n'],
    talk: [{ hear: 'SSH-2.0-x\r\n', say: 'SSH-2.0-y\r\n' }],
    reached: 'SSH-2.0-x\r\n',
    tunnel: 'SSH-2.0-y\r\n',
  }),
  tunnel('an auditor that waits for more decides when the client ends', C, {
    inspect: true,
    client: [connect(), 'SSH', FIN],
    reached: '',
    end: 'reset',
  }),
  tunnel('an auditor lets through early data that it knows', C, {
    inspect: true,
    client: `${connect()}GET / HTTP/1.1\r\n\r\n`,
    reached: 'GET / HTTP/1.1\r\n\r\n',
  }),
  tunnel('what an auditor does not know never reaches the site', C, {
    inspect: true,
    client: [connect(), '\x01\x02\x03\x04'],
    end: 'reset',
  }),
  tunnel('early data that an auditor does not know never reaches the site', C, {
    inspect: true,
    client: `${connect()}\x01\x02\x03\x04`,
    end: 'reset',
  }),
  tunnel('a site that speaks first does not wait for the auditor', C, {
    inspect: true,
    talk: [{ hear: '', say: '220 hello\r\n' }],
    tunnel: '220 hello\r\n',
  }),
  tunnel('a site that ends without a word ends the tunnel of an auditor too', C, {
    inspect: true,
    talk: [{ hear: '', say: '', end: 'fin' }],
    end: 'closed',
  }),
];

export const tunnels: Topic = {
  name: 'tunnels and upgrades',
  cases: [
    tunnel('CONNECT opens a tunnel, and nothing is sent into it', C, {}),
    tunnel('bytes go both ways', C, {
      client: [connect(), 'ping'],
      talk: [{ hear: 'ping', say: 'pong' }],
      reached: 'ping',
      tunnel: 'pong',
    }),
    tunnel('a site may speak first', C, {
      client: [connect(), 'hi'],
      talk: [{ hear: '', say: '220 hello\r\n' }],
      reached: 'hi',
      tunnel: '220 hello\r\n',
    }),
    tunnel('bytes that come with CONNECT go into the tunnel', C, {
      client: `${connect()}early`,
      talk: [{ hear: 'early', say: 'late' }],
      reached: 'early',
      tunnel: 'late',
    }),
    tunnel('what looks like a request in a tunnel is none', C, { client: `${connect()}${get()}`, reached: get() }),
    tunnel('what looks like an answer in a tunnel is none', C, {
      talk: [{ hear: '', say: 'HTTP/1.1 400 Bad\r\n\r\n' }],
      tunnel: 'HTTP/1.1 400 Bad\r\n\r\n',
    }),
    tunnel('any bytes pass', C, { client: [connect(), '\0\r\n\r\n\xff\x80'], reached: '\0\r\n\r\n\xff\x80' }),
    tunnel('a site that ends its side ends the answer only', C, {
      client: [connect(), 'go', 'on'],
      talk: [{ hear: 'go', say: 'bye', end: 'fin' }],
      reached: 'goon',
      tunnel: 'bye',
      end: 'closed',
    }),
    tunnel('a client that ends its side gets all that comes', C, {
      client: [connect(), 'go', FIN],
      talk: [{ hear: 'go', say: 'some' }],
      reached: 'go',
      tunnel: 'some',
    }),
    tunnel('a site that resets resets the client', C, {
      client: [connect(), 'go'],
      talk: [{ hear: 'go', say: '', end: 'reset' }],
      reached: 'go',
      end: 'reset',
      cuts: 'none',
    }),
    tunnel('a client that resets leaves nothing behind', C, { client: [connect(), 'go', RST], reached: 'go' }),
    tunnel('CONNECT over HTTP/1.0', C, { client: `CONNECT o.example:443 ${http10}` }),
    tunnel('CONNECT with a length of 0', C, { client: connect('o.example:443', 'Content-Length: 0') }),
    tunnel('CONNECT to an IPv6 address', C, { client: connect('[2001:db8::1]:443') }),
    tunnel('CONNECT to an allowed port', C, { client: connect('o.example:8443'), server: { connect_ports: [8443] } }),
    tunnel('CONNECT with a Host of another name', 'RFC 9112 section 3.2.2', {
      client: connect().replace('Host: o.example:443', 'Host: other.example'),
    }),
    tunnel('CONNECT with a Host without the port', 'RFC 9112 section 3.2.2', {
      client: connect().replace('Host: o.example:443', 'Host: o.example'),
      server: { host_mismatch: 'refuse' },
    }),
    tunnel('CONNECT with credentials', 'RFC 9110 section 11.7.2', {
      users: true,
      client: connect('o.example:443', 'Proxy-Authorization: Basic YW5uOnB3'),
    }),
    tunnel('CONNECT without credentials is asked for them, and may try again', 'RFC 9110 section 15.5.8', {
      users: true,
      client: [connect(), connect('o.example:443', 'Proxy-Authorization: Basic YW5uOnB3')],
      methods: ['CONNECT', 'CONNECT'],
      answers: [407, 200],
    }),
    {
      ...noTunnel(
        'bytes behind a CONNECT that is asked for credentials are not read as a request',
        C,
        connect() + get('Proxy-Authorization: Basic YW5uOnB3'),
        407,
      ),
      users: true,
      cuts: 'none',
    },
    noTunnel('bytes behind a refused CONNECT are not read as a request', C, connect('o.example:25') + get(), 403),
    noTunnel('a port that is not allowed is refused', C, connect('o.example:80'), 403),
    noTunnel('the port must be named', C, connect('o.example')),
    noTunnel('an empty port is refused', C, connect('o.example:')),
    noTunnel('port 0 is refused', C, connect('o.example:0')),
    noTunnel('a port above 65535 is refused', C, connect('o.example:65979')),
    noTunnel('a port with a sign is refused', C, connect('o.example:+443')),
    noTunnel('a port with letters is refused', C, connect('o.example:443x')),
    noTunnel('an empty host is refused', C, connect(':443')),
    noTunnel('userinfo is refused', C, connect('a:b@o.example:443')),
    noTunnel('an absolute URL is refused', C, connect('http://o.example:443/')),
    noTunnel('a path is refused', C, connect('o.example:443/')),
    noTunnel('origin-form is refused', C, connect('/')),
    noTunnel('asterisk-form is refused', C, connect('*')),
    noTunnel('an IPv6 address without brackets is refused', C, connect('::1:443')),
    noTunnel('a decimal address is refused', C, connect('2130706433:443')),
    { ...noTunnel('a body is refused', C, `${connect('o.example:443', 'Content-Length: 5')}hello`), cuts: 'none' },
    {
      ...noTunnel('a chunked body is refused', C, `${connect('o.example:443', 'Transfer-Encoding: chunked')}0\r\n\r\n`),
      cuts: 'none',
    },
    {
      ...noTunnel(
        'another Host is refused when the server is told so',
        'RFC 9112 section 3.2.2',
        connect().replace('Host: o.example:443', 'Host: other.example'),
      ),
      server: { host_mismatch: 'refuse' },
    },

    ...inspected,

    upgrade('an upgrade opens a tunnel', {}),
    upgrade('bytes go both ways after an upgrade', {
      client: [ask(), 'ping'],
      reached: `${asked()}ping`,
      talk: [{ hear: 'ping', say: 'pong' }],
      tunnel: 'pong',
    }),
    upgrade('bytes behind 101 belong to the tunnel', { origin: [`${switched}first`], tunnel: 'first' }),
    upgrade('bytes that come with the request wait for 101', { client: `${ask()}early`, reached: `${asked()}early` }),
    upgrade('the fields of the handshake go on', {
      client: ask('Sec-WebSocket-Key: x'),
      reached: asked('Sec-WebSocket-Key: x'),
      origin: [switched.replace('\r\n\r\n', '\r\nSec-WebSocket-Accept: y\r\n\r\n')],
      answers: [{ status: 101, fields: { 'sec-websocket-accept': 'y' } }],
    }),
    upgrade('a client that ends its side after an upgrade gets all that comes', {
      client: [ask(), 'go', FIN],
      reached: `${asked()}go`,
      talk: [{ hear: 'go', say: 'some' }],
      tunnel: 'some',
    }),
    upgrade('an upgrade that is refused is a plain answer, and what follows is not read', {
      client: `${ask()}${get()}`,
      origin: [ok('no')],
      answers: [{ status: 200, body: 'no', fields: { connection: 'close' } }],
      end: 'closed',
    }),
    upgrade('100 before 101 goes on', { origin: [`HTTP/1.1 100 Continue\r\n\r\n${switched}`], answers: [100, 101] }),
    upgrade('an upgrade with a body is not asked for', {
      client: `${ask('Content-Length: 2')}ab`,
      reached: `${gotOf('GET /', 'Content-Length: 2')}ab`,
      origin: [ok()],
      answers: [200],
      cuts: 'none',
    }),
    upgrade('101 to another protocol than asked for is 502', {
      origin: [switched.replace('Upgrade: websocket', 'Upgrade: other')],
      answers: [{ status: 502, code: 'upstream_invalid' }],
      pooled: 0,
    }),
    upgrade('101 without a protocol is 502', {
      origin: ['HTTP/1.1 101 Switching Protocols\r\n\r\n'],
      answers: [502],
      pooled: 0,
    }),
    upgrade('101 to an HTTP/1.0 client is 502', {
      client: `GET http://o.example/ HTTP/1.0\r\nHost: o.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
      reached: gotOf('GET /').replace('Via: 1.1', 'Via: 1.0'),
      answers: [502],
      end: 'closed',
    }),
    upgrade('200 is no upgrade', {
      origin: ['HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n'],
      answers: [{ status: 200, fields: { upgrade: null } }],
      end: 'closed',
    }),
    {
      name: 'a request for a tunnel by another method is none',
      rfc: C,
      client: request('GET', 'o.example:443'),
      answers: [400],
      end: 'closed',
    },
  ],
};
