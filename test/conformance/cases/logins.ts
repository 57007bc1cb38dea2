import { get, got, type Topic } from '../lib/case.ts';

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
  ],
};
