import { badAnswer, type Case, get, got, ok, type Topic } from '../lib/case.ts';

const C = 'RFC 9112 section 6.3';
const S = 'RFC 9112 section 4';
const F = 'RFC 9112 section 5';
const answer = (...fields: string[]) => `HTTP/1.1 200 OK\r\n${fields.map((f) => `${f}\r\n`).join('')}\r\nhello`;
const bad = (name: string, rfc: string, bytes: string) => badAnswer(`${name} is 502`, rfc, bytes);
/** The head is on its way already when the fault shows: the client's connection is reset, nobody takes it for whole. */
const cut = (name: string, send: string, more: Partial<Case> = {}): Case => ({
  name,
  rfc: 'RFC 9112 section 8',
  client: get(),
  origin: [{ early: HEAD, send, end: 'fin' }],
  ...(send === '' ? {} : { apart: true }),
  reached: got(),
  answers: [],
  torn: 200,
  end: 'reset',
  pooled: 0,
  cuts: 'none',
  ...more,
});
const HEAD = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n';
/** What the site says behind its first answer reaches nobody; the second request is asked anew. */
const extra = (name: string, bytes: string): Case => ({
  name,
  rfc: 'RFC 9112 section 6.3',
  client: [get(), get()],
  origin: [ok('one') + bytes, ok('two')],
  reached: [got(), got()],
  answers: [
    { status: 200, body: 'one' },
    { status: 200, body: 'two' },
  ],
  pooled: 1,
});

export const badAnswers: Topic = {
  name: 'answers that are none',
  cases: [
    bad('a length with a coding', C, answer('Content-Length: 5', 'Transfer-Encoding: chunked')),
    bad('two different lengths', C, answer('Content-Length: 5', 'Content-Length: 6')),
    bad('two equal lengths', C, answer('Content-Length: 5', 'Content-Length: 5')),
    bad('a list of lengths', C, answer('Content-Length: 5, 5')),
    bad('a negative length', C, answer('Content-Length: -5')),
    bad('a length with a sign', C, answer('Content-Length: +5')),
    bad('a padded length', C, answer('Content-Length: 005')),
    bad('a length that is no number', C, answer('Content-Length: many')),
    bad('an empty length', C, answer('Content-Length:')),
    bad('an enormous length', C, answer('Content-Length: 99999999999999999999')),
    bad('a coding that is not chunked', 'RFC 9112 section 6.1', answer('Transfer-Encoding: identity')),
    bad('a coding before chunked', 'RFC 9112 section 6.1', answer('Transfer-Encoding: gzip, chunked')),
    bad(
      'two codings in two fields',
      'RFC 9112 section 6.1',
      answer('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'),
    ),
    bad(
      'a coding in HTTP/1.0',
      'RFC 9112 section 6.1',
      'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ),
    bad('an obs-fold', 'RFC 9112 section 5.2', answer('A: b', ' c', 'Content-Length: 5')),
    bad('a space before a colon', 'RFC 9112 section 5.1', answer('Content-Length : 5')),
    bad('a field without a name', F, answer(': b', 'Content-Length: 5')),
    bad('a line without a colon', F, answer('b', 'Content-Length: 5')),
    bad('NUL in a value', 'RFC 9110 section 5.5', answer('A: \0', 'Content-Length: 5')),
    bad('a bare LF', 'RFC 9112 section 2.2', answer('A: b\nC: d', 'Content-Length: 5')),
    bad('a bare CR', 'RFC 9112 section 2.2', answer('A: b\rC: d', 'Content-Length: 5')),
    bad('a head with lines of LF only', 'RFC 9112 section 2.2', 'HTTP/1.1 200 OK\nContent-Length: 5\n\nhello'),
    bad('white space before the first field', 'RFC 9112 section 2.2', answer(' A: b', 'Content-Length: 5')),
    bad('no status line', S, `hello\r\n\r\n`),
    bad('HTTP/0.9', 'RFC 9112 section 2.3', `<html>\r\n\r\n`),
    bad('HTTP/2', 'RFC 9112 section 2.3', 'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n'),
    bad('an empty line before the status line', S, `\r\n${ok()}`),
    bad('a space before the status line', S, ` ${ok()}`),
    bad('a status of two digits', S, 'HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n'),
    bad('a status of four digits', S, 'HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n'),
    bad('a status below 100', S, 'HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n'),
    bad('a status with a sign', S, 'HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n'),
    bad('two spaces before the status', S, 'HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n'),
    bad('a reason with a control character', S, 'HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n'),
    bad('a request instead of an answer', S, get()),
    bad(
      '101 that nobody asked for',
      'RFC 9110 section 15.2.2',
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
    ),
    bad(
      'a Connection that names Content-Type',
      'RFC 9110 section 7.6.1',
      answer('Content-Type: a/b', 'Connection: content-type', 'Content-Length: 5'),
    ),
    {
      ...bad('a head of more than the limit', 'RFC 9110 section 5.4', answer(`A: ${'x'.repeat(70_000)}`)),
      cuts: 'none',
    },
    { ...bad('more fields than the limit', 'RFC 9110 section 5.4', answer(...Array(200).fill('A: b'))), cuts: 'none' },
    {
      ...bad('a head that never ends', 'RFC 9110 section 5.4', `HTTP/1.1 200 OK\r\n${'A: b\r\n'.repeat(12_000)}`),
      cuts: 'none',
    },
    {
      ...bad(
        'a chunk size that is none, while nothing was sent',
        'RFC 9112 section 7.1',
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n',
      ),
      cuts: 'none',
    },
    {
      ...badAnswer('no answer at all is 502', 'RFC 9112 section 9.5', ''),
      origin: [{ send: '', end: 'fin' }],
      answers: [{ status: 502, code: 'upstream_closed' }],
    },
    {
      ...badAnswer('a reset instead of an answer is 502', 'RFC 9112 section 9.5', ''),
      origin: [{ send: '', end: 'reset' }],
      answers: [{ status: 502, code: 'upstream_closed' }],
    },
    {
      ...badAnswer('half a head is 502', 'RFC 9112 section 9.5', ''),
      origin: [{ send: 'HTTP/1.1 200 OK\r\nA: ', end: 'fin' }],
      answers: [{ status: 502, code: 'upstream_closed' }],
    },
    {
      ...badAnswer('100 and then nothing is 502', 'RFC 9112 section 9.5', ''),
      origin: [{ send: 'HTTP/1.1 100 Continue\r\n\r\n', end: 'fin' }],
      answers: [100, { status: 502, code: 'upstream_closed' }],
    },

    extra('bytes behind an answer reach nobody', 'more'),
    extra('a second answer to one request reaches nobody', 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'),
    extra('an empty line behind an answer makes the connection one of no further use', '\r\n'),
    {
      ...extra('a second answer behind a chunked one reaches nobody', ''),
      origin: [`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n${ok('evil')}`, ok('two')],
    },
    {
      ...extra('a second answer behind an empty one reaches nobody', ''),
      origin: [ok('') + ok('evil'), ok('two')],
      answers: [
        { status: 200, body: '' },
        { status: 200, body: 'two' },
      ],
    },

    cut('a body shorter than its length is cut', '', {
      origin: [{ send: 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello', end: 'fin' }],
    }),
    cut('a body with a length that ends in a reset is cut', '', {
      origin: [{ send: 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello', end: 'reset' }],
    }),
    cut('a body without a length that ends in a reset is cut', '', {
      origin: [{ send: 'HTTP/1.1 200 OK\r\n\r\nhello', end: 'reset' }],
    }),
    cut('a chunked body without its last chunk is cut', '5\r\nhello\r\n'),
    cut('a chunked body without its last line is cut', '0\r\n'),
    cut('a chunk size with a sign is cut', '+5\r\nhello\r\n0\r\n\r\n'),
    cut('a chunk size that overflows is cut', 'fffffffffffffffff\r\nhello\r\n0\r\n\r\n'),
    cut('a chunk that is longer than its size is cut', '4\r\nhello\r\n0\r\n\r\n'),
    cut('a chunk line of LF only is cut', '5\nhello\n0\n\n'),
    cut('a trailer with a length is cut', '0\r\nContent-Length: 5\r\n\r\n'),
    cut('a trailer that sets a cookie is cut', '0\r\nSet-Cookie: a=b\r\n\r\n'),
    cut('a trailer for this hop is cut', '0\r\nProxy-Authentication-Info: a\r\n\r\n'),
    cut('a chunked body that is cut short is not whole for an HTTP/1.0 client either', '5\r\nhello\r\n', {
      client: 'GET http://o.example/ HTTP/1.0\r\nHost: o.example\r\n\r\n',
      reached: got().replace('Via: 1.1', 'Via: 1.0'),
    }),
  ],
};
