import { type Case, DATE, gotOf, type Topic } from '../lib/case.ts';

/** What an HTTP/1.0 client must not be told. */
const T = 'RFC 9112 section 6.1';
const chunked = `Date: ${DATE}\r\nTransfer-Encoding: chunked\r\n\r\n`;
const old = (name: string, method: string, answer: string): Case => ({
  name,
  rfc: T,
  client: `${method} http://o.example/ HTTP/1.0\r\nHost: o.example\r\n\r\n`,
  methods: [method],
  origin: [answer],
  reached: gotOf(`${method} /`).replace('Via: 1.1', 'Via: 1.0'),
  answers: [{ status: Number(answer.slice(9, 12)), fields: { 'transfer-encoding': null } }],
  end: 'closed',
});

export const oldClients: Topic = {
  name: 'HTTP/1.0 clients',
  cases: [
    old('are not told of chunks in the answer to HEAD', 'HEAD', `HTTP/1.1 200 OK\r\n${chunked}`),
    old('are not told of chunks in a 304', 'GET', `HTTP/1.1 304 Not Modified\r\n${chunked}`),
  ],
};
