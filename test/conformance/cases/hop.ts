import { get, got, gotOf, ok, passes, refused, request, type Topic } from '../lib/case.ts';

const H = 'RFC 9110 section 7.6.1';
const M = 'RFC 9110 section 7.6.2';
const V = 'RFC 9110 section 7.6.3';
const X = 'RFC 7239';
const via = (version = '1.1') => `Via: ${version} arcus-test\r\n\r\n`;
const appended = { server: { forwarded_for: 'append' } };
const replaced = { server: { forwarded_for: 'replace' } };
const us = ['X-Forwarded-For: 127.0.0.1', 'Forwarded: for=127.0.0.1'];

export const hop: Topic = {
  name: 'fields for this hop, and those that a proxy adds',
  cases: [
    passes('Connection does not go on', H, get('Connection: keep-alive', 'A: b'), got('A: b')),
    passes('Keep-Alive does not go on', H, get('Keep-Alive: timeout=5'), got()),
    passes('TE does not go on', 'RFC 9110 section 10.1.4', get('TE: trailers', 'Connection: TE'), got()),
    passes('TE does not go on even when Connection does not name it', H, get('TE: trailers'), got()),
    passes('Trailer goes on', 'RFC 9110 section 6.6.2', get('Trailer: X-Sum'), got('Trailer: X-Sum')),
    passes('Proxy-Connection does not go on', 'RFC 9112 appendix C.2.2', get('Proxy-Connection: keep-alive'), got()),
    passes(
      'Proxy-Authenticate in a request does not go on',
      'RFC 9110 section 11.7.1',
      get('Proxy-Authenticate: Basic'),
      got(),
    ),
    passes(
      'Proxy-Authorization does not go on',
      'RFC 9110 section 11.7.2',
      get('Proxy-Authorization: Basic YW5uOnB3'),
      got(),
    ),
    passes(
      'Upgrade that Connection does not name does not go on',
      'RFC 9110 section 7.8',
      get('Upgrade: websocket'),
      got(),
    ),
    passes(
      'HTTP2-Settings that Connection names does not go on',
      H,
      get('Connection: HTTP2-Settings', 'HTTP2-Settings: AAMAAABk'),
      got(),
    ),
    passes(
      'what Connection names does not go on',
      H,
      get('Connection: X-Mine', 'X-Mine: 1', 'X-Other: 2'),
      got('X-Other: 2'),
    ),
    passes('what Connection names is matched whatever its case', H, get('CONNECTION: x-MINE', 'X-Mine: 1'), got()),
    passes(
      'each of several names in Connection counts',
      H,
      get('Connection: a, b ,\tc', 'A: 1', 'B: 2', 'C: 3', 'D: 4'),
      got('D: 4'),
    ),
    passes('each of several Connection fields counts', H, get('Connection: a', 'A: 1', 'Connection: b', 'B: 2'), got()),
    passes('a field before the Connection that names it is taken out too', H, get('A: 1', 'Connection: a'), got()),
    passes('every field of a named name is taken out', H, get('A: 1', 'B: 2', 'A: 3', 'Connection: a'), got('B: 2')),
    passes(
      'empty members of Connection are ignored',
      'RFC 9110 section 5.6.1.2',
      get('Connection: , ,a,,', 'A: 1'),
      got(),
    ),
    passes('a Connection that names nothing that is there does no harm', H, get('Connection: nothing'), got()),
    passes('a Connection that names Via drops the Via of before', H, get('Via: 1.1 one', 'Connection: via'), got()),
    passes(
      'a Connection that names Cache-Control drops it',
      H,
      get('Cache-Control: no-cache', 'Connection: cache-control'),
      got(),
    ),
    passes(
      'Connection: close closes here and does not go on',
      'RFC 9112 section 9.6',
      get('Connection: close'),
      got(),
      {
        answers: [{ status: 200, fields: { connection: 'close' } }],
        end: 'closed',
        pooled: 1,
      },
    ),
    passes('Proxy-Connection: close closes here', 'RFC 9112 appendix C.2.2', get('Proxy-Connection: close'), got(), {
      end: 'closed',
    }),
    passes('close beside another option closes', 'RFC 9112 section 9.6', get('Connection: Foo, Close'), got(), {
      end: 'closed',
    }),
    refused('a Connection that is no list of tokens is refused', H, get('Connection: a b')),
    refused('a Connection with a no-break space is refused', H, get('Connection: close\xa0')),
    refused('a Connection with quotes is refused', H, get('Connection: "close"')),
    refused('a Connection that names Host is refused', H, get('Connection: host')),
    refused(
      'a Connection that names Authorization is refused',
      H,
      get('Connection: authorization', 'Authorization: Basic eDp5'),
    ),
    refused('a Connection that names Cookie is refused', H, get('Connection: cookie', 'Cookie: a=b')),

    passes('a tenant that a client names itself does not go on', 'Arcus', get('X-Tenant-ID: other'), got()),
    passes(
      'Via is added behind that of others',
      V,
      get('Via: 1.0 fred, 1.1 p.example'),
      got('Via: 1.0 fred, 1.1 p.example'),
    ),
    passes(
      'Via tells the version that was received',
      V,
      'GET http://o.example/ HTTP/1.0\r\nHost: o.example\r\n\r\n',
      `GET / HTTP/1.1\r\nHost: o.example\r\n${via('1.0')}`,
      { end: 'closed' },
    ),
    passes(
      'a Via of a worker whose name only begins alike is no loop',
      V,
      get('Via: 1.1 arcus-test-2'),
      got('Via: 1.1 arcus-test-2'),
    ),
    passes(
      'a Via that mentions this worker in a comment is no loop',
      V,
      get('Via: 1.1 other (not arcus-test)'),
      got('Via: 1.1 other (not arcus-test)'),
    ),
    refused('a request that has come through this worker already is refused', V, get('Via: 1.1 arcus-test'), 508),
    refused('a loop is found in the middle of a list', V, get('Via: 1.0 a, 1.1 arcus-test (Arcus), 1.1 b'), 508),
    refused('a loop is found in the second Via', V, get('Via: 1.0 a', 'A: b', 'Via: 1.1 arcus-test'), 508),
    refused('a loop of CONNECT is found too', V, request('CONNECT', 'o.example:443', 'Via: 1.1 arcus-test'), 508),

    passes(
      'Max-Forwards of OPTIONS is counted down',
      M,
      request('OPTIONS', 'http://o.example/', 'Max-Forwards: 5'),
      gotOf('OPTIONS /', 'Max-Forwards: 4'),
    ),
    passes(
      'Max-Forwards of TRACE is counted down',
      M,
      request('TRACE', 'http://o.example/', 'Max-Forwards: 1'),
      gotOf('TRACE /', 'Max-Forwards: 0'),
    ),
    passes('Max-Forwards of GET goes on as it is', M, get('Max-Forwards: 0'), got('Max-Forwards: 0')),
    passes('Max-Forwards of GET need not be a number', M, get('Max-Forwards: abc'), got('Max-Forwards: abc')),
    passes(
      'no Max-Forwards is made up',
      'RFC 9110 section 9.3.7',
      request('OPTIONS', 'http://o.example/'),
      gotOf('OPTIONS /'),
    ),
    passes(
      'a Max-Forwards that Connection names does not go on',
      H,
      get('Max-Forwards: 3', 'Connection: max-forwards'),
      got(),
    ),
    {
      name: 'OPTIONS with Max-Forwards 0 is answered here',
      rfc: M,
      client: request('OPTIONS', 'http://o.example/', 'Max-Forwards: 0'),
      answers: [{ status: 200, fields: { 'content-length': '0', via: null } }],
    },
    {
      name: 'TRACE with Max-Forwards 0 is answered here, and tells no credentials',
      rfc: 'RFC 9110 section 9.3.8',
      client: request('TRACE', 'http://o.example/', 'Max-Forwards: 0', 'Cookie: a=b', 'Authorization: Basic eDp5'),
      answers: [
        {
          status: 200,
          fields: { 'content-type': 'message/http' },
          body: 'TRACE http://o.example/ HTTP/1.1\r\nHost: o.example\r\n\r\n',
        },
      ],
    },
    {
      name: 'who must log in gets no answer to TRACE without it',
      rfc: M,
      users: true,
      client: request('TRACE', 'http://o.example/', 'Max-Forwards: 0'),
      answers: [407],
    },
    refused(
      'a Max-Forwards that is no number is refused',
      M,
      request('OPTIONS', 'http://o.example/', 'Max-Forwards: -1'),
    ),
    refused(
      'two Max-Forwards are refused',
      M,
      request('OPTIONS', 'http://o.example/', 'Max-Forwards: 1', 'Max-Forwards: 2'),
    ),
    refused(
      'an enormous Max-Forwards is refused',
      M,
      request('OPTIONS', 'http://o.example/', 'Max-Forwards: 99999999999999999999'),
    ),

    passes('by default nobody is told who asked', X, get('X-Forwarded-For: 1.2.3.4', 'Forwarded: for=1.2.3.4'), got()),
    passes(
      'the client is appended to X-Forwarded-For and Forwarded',
      X,
      get('X-Forwarded-For: 1.2.3.4', 'Forwarded: for=1.2.3.4'),
      got('X-Forwarded-For: 1.2.3.4, 127.0.0.1', 'Forwarded: for=1.2.3.4, for=127.0.0.1'),
      appended,
    ),
    passes(
      'several X-Forwarded-For become one list',
      X,
      get('X-Forwarded-For: 1.2.3.4', 'X-Forwarded-For: 5.6.7.8'),
      got('X-Forwarded-For: 1.2.3.4, 5.6.7.8, 127.0.0.1', 'Forwarded: for=127.0.0.1'),
      appended,
    ),
    passes('the client stands alone when nobody was named before', X, get(), got(...us), appended),
    passes(
      'what clients say of themselves is replaced',
      X,
      get('X-Forwarded-For: 1.2.3.4', 'Forwarded: for=1.2.3.4'),
      got(...us),
      replaced,
    ),
    passes(
      'an X-Forwarded-For that Connection names is not appended to',
      H,
      get('X-Forwarded-For: 1.2.3.4', 'Connection: x-forwarded-for'),
      got(...us),
      appended,
    ),

    passes(
      'Expect goes on, and 100 comes back before the answer',
      'RFC 9110 section 10.1.1',
      [request('POST', 'http://o.example/', 'Expect: 100-continue', 'Content-Length: 2'), 'ab'] as never,
      `${gotOf('POST /', 'Expect: 100-continue', 'Content-Length: 2')}ab`,
      {
        origin: [{ early: 'HTTP/1.1 100 Continue\r\n\r\n', send: ok() }],
        answers: [{ status: 100, fields: { via: '1.1 arcus-test' } }, 200],
      },
    ),
    passes(
      'a body that does not wait for 100 is no harm',
      'RFC 9110 section 10.1.1',
      `${request('POST', 'http://o.example/', 'Expect: 100-continue', 'Content-Length: 2')}ab`,
      `${gotOf('POST /', 'Expect: 100-continue', 'Content-Length: 2')}ab`,
    ),
    passes(
      'Expect twice does no harm',
      'RFC 9110 section 10.1.1',
      `${request('POST', 'http://o.example/', 'Expect: 100-continue', 'Expect: 100-continue', 'Content-Length: 2')}ab`,
      `${gotOf('POST /', 'Expect: 100-continue', 'Expect: 100-continue', 'Content-Length: 2')}ab`,
    ),
    passes(
      'an expectation that nobody knows goes on',
      'RFC 9110 section 10.1.1',
      get('Expect: tea'),
      got('Expect: tea'),
      {
        origin: ['HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n'],
        answers: [417],
      },
    ),
  ],
};
