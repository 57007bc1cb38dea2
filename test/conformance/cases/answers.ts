import { type Case, DATE, get, got, gotOf, ok, request, type Topic } from '../lib/case.ts';

const B = 'RFC 9112 section 6.3';
const I = 'RFC 9110 section 15.2';
const date = `Date: ${DATE}\r\n`;

/** The origin says `bytes` to a GET; the client sees `answers`. */
const says = (name: string, rfc: string, bytes: string, answers: Case['answers'], more: Partial<Case> = {}): Case => ({
  name,
  rfc,
  client: get(),
  origin: [bytes],
  reached: got(),
  answers,
  pooled: 1,
  ...more,
});
const head = (bytes: string, fields: Record<string, string | null> = {}): Partial<Case> & Pick<Case, 'answers'> => ({
  client: request('HEAD', 'http://o.example/'),
  origin: [bytes],
  reached: gotOf('HEAD /'),
  methods: ['HEAD'],
  answers: [{ status: 200, fields }],
});
const twice = (first: string, answers: Case['answers']): Partial<Case> => ({
  client: [get(), get()],
  reached: got() + got(),
  origin: [first, ok('two')],
  answers: [...answers, { status: 200, body: 'two' }],
});
const http10 = (...fields: string[]) =>
  `GET http://o.example/ HTTP/1.0\r\nHost: o.example\r\n${fields.map((f) => `${f}\r\n`).join('')}\r\n`;
const got10 = got().replace('Via: 1.1', 'Via: 1.0');

export const answers: Topic = {
  name: 'answers',
  cases: [
    says('a body with a length', B, ok('hello'), [
      { status: 200, body: 'hello', fields: { via: '1.1 arcus-test', date: DATE } },
    ]),
    says(
      'fields of requests mean nothing in it',
      'RFC 9110 section 7.6.2',
      ok('hello', 'Max-Forwards: abc', 'Proxy-Authorization: a', 'Proxy-Authorization: b'),
      [{ status: 200, body: 'hello', fields: { 'max-forwards': 'abc', 'proxy-authorization': null } }],
    ),
    says('an empty body with a length', B, ok(''), [{ status: 200, body: '' }]),
    says(
      'a chunked body',
      'RFC 9112 section 7.1',
      `HTTP/1.1 200 OK\r\n${date}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
      [{ status: 200, body: 'hello', fields: { 'transfer-encoding': 'chunked' } }],
    ),
    says(
      'a chunked body with extensions and trailers',
      'RFC 9112 section 7.1.2',
      `HTTP/1.1 200 OK\r\n${date}Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n`,
      [{ status: 200, body: 'hello', fields: { 'x-sum': null } }],
    ),
    says(
      'a body up to the end of the connection',
      B,
      '',
      [{ status: 200, body: 'hello', fields: { connection: 'close', 'content-length': null } }],
      {
        origin: [{ send: `HTTP/1.1 200 OK\r\n${date}\r\nhello`, end: 'fin' }],
        end: 'closed',
        pooled: 0,
      },
    ),
    says('an empty body up to the end of the connection', B, '', [{ status: 200, body: '' }], {
      origin: [{ send: `HTTP/1.1 200 OK\r\n${date}\r\n`, end: 'fin' }],
      end: 'closed',
      pooled: 0,
    }),
    says('204 has no body', B, `HTTP/1.1 204 No Content\r\n${date}\r\n`, [204]),
    says(
      '204 with a length loses it, and its connection is not used again',
      B,
      `HTTP/1.1 204 No Content\r\n${date}Content-Length: 5\r\n\r\n`,
      [{ status: 204, fields: { 'content-length': null } }],
      { pooled: 0 },
    ),
    says(
      '204 with a coding loses it, and its connection is not used again',
      'RFC 9112 section 6.1',
      `HTTP/1.1 204 No Content\r\n${date}Transfer-Encoding: chunked\r\n\r\n`,
      [{ status: 204, fields: { 'transfer-encoding': null } }],
      { pooled: 0 },
    ),
    says('204 with a body: the body goes nowhere', B, '', [], {
      ...twice(`HTTP/1.1 204 No Content\r\n${date}Content-Length: 5\r\n\r\nhello`, [204]),
      reached: [got(), got()],
    }),
    says('304 keeps the length and has no body', B, `HTTP/1.1 304 Not Modified\r\n${date}Content-Length: 5\r\n\r\n`, [
      { status: 304, fields: { 'content-length': '5' } },
    ]),
    says('304 with a body: the body goes nowhere', B, '', [], {
      ...twice(`HTTP/1.1 304 Not Modified\r\n${date}Content-Length: 5\r\n\r\nhello`, [304]),
      reached: [got(), got()],
      cuts: 'none',
    }),
    says(
      'the answer to HEAD keeps the length and has no body',
      'RFC 9110 section 9.3.2',
      '',
      [],
      head(`HTTP/1.1 200 OK\r\n${date}Content-Length: 5\r\n\r\n`, { 'content-length': '5' }),
    ),
    says(
      'the answer to HEAD may be chunked and has no body',
      'RFC 9110 section 9.3.2',
      '',
      [],
      head(`HTTP/1.1 200 OK\r\n${date}Transfer-Encoding: chunked\r\n\r\n`),
    ),
    says(
      'the answer to HEAD without a length ends with its head',
      'RFC 9110 section 9.3.2',
      '',
      [],
      head(`HTTP/1.1 200 OK\r\n${date}\r\n`, { connection: null }),
    ),
    says('the answer to HEAD with a body: the body goes nowhere', 'RFC 9110 section 9.3.2', '', [], {
      client: [request('HEAD', 'http://o.example/'), get()],
      origin: [ok('hello'), ok('two')],
      reached: [gotOf('HEAD /'), got()],
      methods: ['HEAD', 'GET'],
      answers: [200, { status: 200, body: 'two' }],
      cuts: 'none',
    }),
    says(
      'a status that nobody knows goes on',
      'RFC 9110 section 15',
      `HTTP/1.1 799 Odd\r\n${date}Content-Length: 0\r\n\r\n`,
      [799],
    ),
    says('a reason may be empty', 'RFC 9112 section 4', `HTTP/1.1 200 \r\n${date}Content-Length: 0\r\n\r\n`, [200]),
    says(
      'a reason and its space may be left out',
      'RFC 9112 section 4',
      `HTTP/1.1 200\r\n${date}Content-Length: 0\r\n\r\n`,
      [200],
    ),
    says(
      'a reason may have obs-text',
      'RFC 9112 section 4',
      `HTTP/1.1 200 Sch\xf6n\r\n${date}Content-Length: 0\r\n\r\n`,
      [200],
    ),
    says(
      'an answer without Date gets one',
      'RFC 9110 section 6.6.1',
      'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      [200],
    ),
    says(
      'an odd Date stays as it is',
      'RFC 9110 section 6.6.1',
      'HTTP/1.1 200 OK\r\nDate: yesterday\r\nContent-Length: 0\r\n\r\n',
      [{ status: 200, fields: { date: 'yesterday' } }],
    ),
    says(
      'Set-Cookie fields stay apart and in order',
      'RFC 9110 section 5.3',
      ok('', 'Set-Cookie: a=1', 'Set-Cookie: b=2'),
      [{ status: 200, fields: { 'set-cookie': 'a=1, b=2' } }],
    ),
    says(
      'hop-by-hop fields of an answer stay here',
      'RFC 9110 section 7.6.1',
      ok('', 'Connection: keep-alive, X-Mine', 'Keep-Alive: timeout=5', 'X-Mine: 1', 'Proxy-Connection: keep-alive'),
      [{ status: 200, fields: { connection: null, 'keep-alive': null, 'x-mine': null, 'proxy-connection': null } }],
    ),
    says(
      'Proxy-Authenticate of a site does not reach the client',
      'RFC 9110 section 11.7.1',
      ok('', 'Proxy-Authenticate: Basic realm="x"', 'Proxy-Authentication-Info: a=b'),
      [{ status: 200, fields: { 'proxy-authenticate': null, 'proxy-authentication-info': null } }],
    ),
    says(
      'WWW-Authenticate goes on as it is',
      'RFC 9110 section 11.6.1',
      `HTTP/1.1 401 Unauthorized\r\n${date}WWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n`,
      [{ status: 401, fields: { 'www-authenticate': 'Basic realm="x"' } }],
    ),
    says('Allow goes on as it is', 'RFC 9110 section 10.2.1', ok('', 'Allow: GET,  BREW'), [
      { status: 200, fields: { allow: 'GET,  BREW' } },
    ]),
    says('Via of an answer is added behind that of others', 'RFC 9110 section 7.6.3', ok('', 'Via: 1.0 cache'), [
      { status: 200, fields: { via: '1.0 cache, 1.1 arcus-test' } },
    ]),
    says(
      'content that must not be transformed is not',
      'RFC 9110 section 7.7',
      ok('hello', 'Cache-Control: no-transform', 'Content-Encoding: gzip'),
      [{ status: 200, body: 'hello', fields: { 'content-encoding': 'gzip' } }],
    ),
    says(
      'a Cache-Control of 60 KB goes on',
      'RFC 9110 section 2.3',
      ok('', `Cache-Control: a="${'x'.repeat(60_000)}"`),
      [200],
      { cuts: 'none' },
    ),

    says('100 goes on', I, `HTTP/1.1 100 Continue\r\n\r\n${ok()}`, [100, 200]),
    says('102 goes on', I, `HTTP/1.1 102 Processing\r\n\r\n${ok()}`, [102, 200]),
    says('103 goes on with its fields', 'RFC 8297', `HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n${ok()}`, [
      { status: 103, fields: { link: '</a.css>', via: '1.1 arcus-test' } },
      200,
    ]),
    says('a 1xx that nobody knows goes on', I, `HTTP/1.1 199 Odd\r\n\r\n${ok()}`, [199, 200]),
    says(
      'several 1xx go on in order',
      I,
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n${ok()}`,
      [100, 103, 200],
    ),
    says(
      'a 1xx with a length has no body all the same',
      B,
      `HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n${ok()}`,
      [{ status: 103, fields: { 'content-length': null } }, 200],
    ),
    says(
      'a flood of 1xx ends in the answer',
      I,
      `HTTP/1.1 100 Continue\r\n\r\n`.repeat(500) + ok(),
      [...Array(500).fill(100), 200],
      { cuts: 'none' },
    ),
    says('an HTTP/1.0 client gets no 1xx', I, `HTTP/1.1 100 Continue\r\n\r\n${ok()}`, [200], {
      client: http10(),
      reached: got10,
      end: 'closed',
    }),

    says(
      'an HTTP/1.0 client gets a chunked body without its framing',
      'RFC 9112 section 6.1',
      `HTTP/1.1 200 OK\r\n${date}Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n`,
      [{ status: 200, body: 'hello!', fields: { 'transfer-encoding': null, connection: 'close' } }],
      { client: http10(), reached: got10, end: 'closed' },
    ),
    says(
      'an HTTP/1.0 client gets a connection of one request',
      'RFC 9112 section 9.3',
      ok(),
      [{ status: 200, fields: { connection: 'close' } }],
      { client: http10('Connection: keep-alive'), reached: got10, end: 'closed' },
    ),
    says(
      'an HTTP/1.0 answer closes its connection',
      'RFC 9112 section 9.3',
      `HTTP/1.0 200 OK\r\n${date}Content-Length: 2\r\n\r\nhi`,
      [{ status: 200, body: 'hi', fields: { via: '1.0 arcus-test' } }],
      { pooled: 0 },
    ),
    says(
      'an HTTP/1.0 answer with keep-alive keeps its connection',
      'RFC 9112 section 9.3',
      `HTTP/1.0 200 OK\r\n${date}Connection: keep-alive\r\nContent-Length: 2\r\n\r\nhi`,
      [200],
    ),
    says('an HTTP/1.0 answer without a length ends with its connection', B, '', [{ status: 200, body: 'hi' }], {
      origin: [{ send: `HTTP/1.0 200 OK\r\n${date}\r\nhi`, end: 'fin' }],
      end: 'closed',
      pooled: 0,
    }),
    says(
      'Connection: close of an answer is not for the client',
      'RFC 9112 section 9.6',
      ok('hi', 'Connection: close'),
      [{ status: 200, fields: { connection: null } }],
      { pooled: 0 },
    ),
  ],
};
