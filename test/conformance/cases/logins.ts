import { type Case, DATE, get, got, ok, passes, type Topic } from '../lib/case.ts';

const B = 'RFC 4559 section 6';
const login = 'Authorization: Negotiate abc';
const basic = 'Authorization: Basic bnRsbTpudGxt';

/** Logins at the site: what is asked for, and whom the connection belongs to then. */
export const logins: Topic = {
  name: 'logins at the site',
  cases: [
    {
      name: 'a site cannot ask for the credentials of a proxy',
      rfc: 'RFC 9110 section 15.5.8',
      client: get(),
      origin: ['HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm="evil"\r\nContent-Length: 3\r\n\r\nnot'],
      reached: got(),
      answers: [{ status: 502, code: 'upstream_refused', fields: { 'proxy-authenticate': null } }],
      pooled: 0,
    },
    ...['WWW-Authenticate: NTLM', 'www-authenticate:Basic realm="a",  negotiate ,x'].map(
      (field): Case => ({
        name: `the connection on which a site asks for a login by connection is nobody else's (${field})`,
        rfc: B,
        client: get(),
        origin: [`HTTP/1.1 401 No\r\nDate: ${DATE}\r\n${field}\r\nContent-Length: 0\r\n\r\n`],
        reached: got(),
        answers: [401],
        pooled: 0,
      }),
    ),
    passes("a connection that carried such a login is nobody else's", B, get(login), got(login), { pooled: 0 }),
    passes('other logins are for a message', B, get(basic), got(basic), { pooled: 1 }),
    passes(
      'the second request of a client comes on the connection of its login',
      B,
      get(login) + get(),
      got(login) + got(),
      {
        origin: [ok(), ok()],
        answers: [200, 200],
        pooled: 0,
      },
    ),
  ],
};
