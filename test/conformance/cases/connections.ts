import { type Case, FIN, get, got, gotOf, ok, passes, RST, refused, request, type Topic } from '../lib/case.ts';

const P = 'RFC 9112 section 9.3';
const Q = 'RFC 9112 section 9.3.2';
const A = 'RFC 9110 section 11.7';
const post = (body: string) => request('POST', 'http://o.example/', `Content-Length: ${body.length}`) + body;
const gotPost = (body: string) => gotOf('POST /', `Content-Length: ${body.length}`) + body;
const two = (name: string, rfc: string, more: Partial<Case>): Case => ({
  name,
  rfc,
  client: get() + get(),
  origin: [ok('one'), ok('two')],
  reached: got() + got(),
  answers: [
    { status: 200, body: 'one' },
    { status: 200, body: 'two' },
  ],
  pooled: 1,
  ...more,
});
const login = (credentials: string) => get(`Proxy-Authorization: ${credentials}`);
const ann = 'Basic YW5uOnB3';

export const connections: Topic = {
  name: 'connections and who may use them',
  cases: [
    two('requests one after another share one connection on both sides', P, { client: [get(), get()] }),
    two('requests that come at once are answered in order', Q, {}),
    two('a client that ends its side is answered first', Q, {
      client: [get(), FIN],
      reached: got(),
      origin: [ok('one')],
      answers: [200],
      end: 'closed',
    }),
    two('all requests that came before the end of the client are answered', Q, {
      client: [get() + get(), FIN],
      end: 'closed',
    }),
    two('requests and the end of the client in one piece are answered', Q, {
      client: [get() + get() + get().slice(0, 30), FIN],
      end: 'closed',
    }),
    two('a request behind a body is the next one', 'RFC 9112 section 6.3', {
      client: post('hello') + get(),
      reached: gotPost('hello') + got(),
    }),
    two('what looks like a request in a body is none', 'RFC 9112 section 6.3', {
      client: post(get()) + get(),
      reached: gotPost(get()) + got(),
    }),
    two('a request behind Connection: close is not read', 'RFC 9112 section 9.6', {
      client: get('Connection: close') + get(),
      reached: got(),
      answers: [{ status: 200, body: 'one' }],
      end: 'closed',
    }),
    two('a broken request behind a good one is refused on its own', Q, {
      client: `${get()}GET / HTTP/1.1\r\n\r\n`,
      reached: got(),
      answers: [200, 400],
      end: 'closed',
    }),
    two('an answer that ends with its connection does not take the next one with it', P, {
      origin: [ok('one', 'Connection: close'), ok('two')],
      reached: [got(), got()],
    }),
    two('a kept connection that has died is noticed, and a safe request goes out again', 'RFC 9112 section 9.3.1', {
      client: [get(), get()],
      origin: [ok('one'), { send: '', end: 'fin' }, ok('two')],
      reached: [got() + got(), got()],
    }),
    two('a kept connection that resets is noticed, and a safe request goes out again', 'RFC 9112 section 9.3.1', {
      client: [get(), get()],
      origin: [ok('one'), { send: '', end: 'reset' }, ok('two')],
      reached: [got() + got(), got()],
    }),
    two('a POST never goes out twice', 'RFC 9110 section 9.2.2', {
      client: [get(), request('POST', 'http://o.example/')],
      origin: [ok('one'), { send: '', end: 'reset' }],
      reached: got() + gotOf('POST /'),
      answers: [200, 502],
      pooled: 0,
    }),
    two('a request that got 103 already does not go out twice', 'RFC 9110 section 9.2.2', {
      client: [get(), get()],
      origin: [ok('one'), { send: 'HTTP/1.1 103 Early Hints\r\n\r\n', end: 'reset' }],
      answers: [200, 103, 502],
      pooled: 0,
    }),
    two('a fresh connection that dies is not tried again', 'RFC 9110 section 9.2.2', {
      client: get(),
      origin: [{ send: '', end: 'reset' }],
      reached: got(),
      answers: [{ status: 502, code: 'upstream_closed' }],
      pooled: 0,
    }),
    two('sites do not share connections', P, {
      client: get() + get().replaceAll('o.example', 'p.example'),
      reached: [got(), got().replaceAll('o.example', 'p.example')],
      pooled: 2,
    }),
    two('ports of a site do not share connections', P, {
      client: get() + get().replaceAll('o.example', 'o.example:81'),
      reached: [got(), got().replaceAll('o.example', 'o.example:81')],
      pooled: 2,
    }),
    two('a connection serves as many requests as it may', 'Arcus', {
      server: { limits: { requests_per_connection: 1 } },
      reached: got(),
      answers: [{ status: 200, fields: { connection: 'close' } }],
      end: 'closed',
    }),

    two('an early answer ends the exchange', 'RFC 9112 section 9.5', {
      client: [`${request('POST', 'http://o.example/', 'Content-Length: 9')}part`, 'of it'],
      origin: [{ early: `HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n` }],
      reached: `${gotOf('POST /', 'Content-Length: 9')}part`,
      answers: [{ status: 413, fields: { connection: 'close' } }],
      end: 'closed',
      pooled: 0,
      cuts: 'none',
    }),
    two('the body still flows while an early answer does', 'RFC 9112 section 9.5', {
      client: [`${request('POST', 'http://o.example/', 'Content-Length: 9')}part`, ' of it'],
      origin: [{ early: `HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\no`, send: 'ne' }],
      reached: `${gotOf('POST /', 'Content-Length: 9')}part of i`,
      answers: [{ status: 200, body: 'one', fields: { connection: 'close' } }],
      end: 'closed',
      pooled: 1,
      cuts: 'none',
    }),
    {
      name: 'a client that stops inside a body leaves no whole request behind',
      rfc: 'RFC 9112 section 8',
      client: [`${request('POST', 'http://o.example/', 'Content-Length: 9')}part`, FIN],
      origin: [ok()],
      reached: `${gotOf('POST /', 'Content-Length: 9')}part`,
      answers: [],
      end: 'reset',
      pooled: 0,
    },
    {
      name: 'a client that resets inside a body leaves no whole request behind',
      rfc: 'RFC 9112 section 8',
      client: [`${request('POST', 'http://o.example/', 'Transfer-Encoding: chunked')}4\r\npart\r\n`, RST],
      origin: [ok()],
      reached: `${gotOf('POST /', 'Transfer-Encoding: chunked')}4\r\npart\r\n`,
      answers: [],
      pooled: 0,
    },
    {
      name: 'half a head and the end leave nothing behind',
      rfc: 'RFC 9112 section 8',
      client: ['GET http://o.example/ HTTP/1.1\r\nHos', FIN],
      answers: [],
      end: 'closed',
    },
    {
      name: 'a connection that says nothing leaves nothing behind',
      rfc: 'RFC 9112 section 8',
      client: [FIN],
      answers: [],
      end: 'closed',
    },

    passes('who has credentials may pass, and they stay here', A, login(ann), got(), { users: true }),
    passes('the name of the scheme may be in any case', A, login(ann.replace('Basic', 'bAsIC')), got(), {
      users: true,
    }),
    {
      name: 'who has none is asked for them, and may try again at once',
      rfc: 'RFC 9110 section 15.5.8',
      users: true,
      client: get() + login(ann),
      origin: [ok()],
      reached: got(),
      answers: [
        {
          status: 407,
          code: 'auth_required',
          fields: { 'proxy-authenticate': 'Basic realm="arcus", charset="UTF-8"' },
        },
        200,
      ],
    },
    {
      name: 'wrong credentials are asked for again',
      rfc: 'RFC 9110 section 15.5.8',
      users: true,
      client: login('Basic eDp5'),
      answers: [
        { status: 407, code: 'auth_failed', fields: { 'proxy-authenticate': 'Basic realm="arcus", charset="UTF-8"' } },
      ],
    },
    {
      name: 'another scheme is answered with ours',
      rfc: 'RFC 9110 section 15.5.8',
      users: true,
      client: login('Bearer abc'),
      answers: [{ status: 407, code: 'auth_required' }],
    },
    {
      name: 'credentials that are no base64 are wrong',
      rfc: 'RFC 7617',
      users: true,
      client: login('Basic !!!'),
      answers: [{ status: 407, code: 'auth_failed' }],
    },
    {
      name: 'credentials without a colon are wrong',
      rfc: 'RFC 7617',
      users: true,
      client: login('Basic YW5u'),
      answers: [{ status: 407, code: 'auth_failed' }],
    },
    {
      name: 'Authorization is for the site, not for the proxy',
      rfc: A,
      users: true,
      client: get(`Authorization: ${ann}`),
      answers: [407],
    },
    {
      name: 'a realm of our own is shown',
      rfc: 'RFC 9110 section 11.5',
      users: true,
      server: { auth_realm: 'Office' },
      client: get(),
      answers: [{ status: 407, fields: { 'proxy-authenticate': 'Basic realm="Office", charset="UTF-8"' } }],
    },
    {
      name: 'the answer to HEAD that asks for credentials has no body',
      rfc: 'RFC 9110 section 9.3.2',
      users: true,
      client: request('HEAD', 'http://o.example/'),
      methods: ['HEAD'],
      answers: [407],
    },
    {
      name: 'a refused body is not read as a request',
      rfc: 'RFC 9112 section 9.3',
      users: true,
      client: post(login(ann)),
      origin: [ok()],
      answers: [407],
      end: 'kept',
      cuts: 'none',
    },
    refused(
      'two Proxy-Authorization are refused',
      A,
      get(`Proxy-Authorization: ${ann}`, 'Proxy-Authorization: Basic eDp5'),
      400,
      { users: true },
    ),
  ],
};
