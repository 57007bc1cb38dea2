import { gotOf, passes, refused, request, type Topic } from '../lib/case.ts';

const C = 'RFC 9112 section 6.3';
const L = 'RFC 9110 section 8.6';
const T = 'RFC 9112 section 6.1';
const post = (body: string, ...fields: string[]) => request('POST', 'http://o.example/', ...fields) + body;
const got = (body: string, ...fields: string[]) => gotOf('POST /', ...fields).replace(/(Via[^\r]*\r\n)/, '$1') + body;
/** Framing that hides a second request from one of two readers. */
const evil = 'GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n';
const length = (value: string) =>
  refused(`Content-Length "${printable(value)}" is refused`, L, post('hello', `Content-Length: ${value}`));
const coding = (value: string, status = 400) =>
  refused(
    `Transfer-Encoding "${printable(value)}" is refused`,
    T,
    post('0\r\n\r\n', `Transfer-Encoding: ${value}`),
    status,
  );
const printable = (value: string) => JSON.stringify(value).slice(1, -1);

export const lengths: Topic = {
  name: 'lengths and codings of requests',
  cases: [
    passes('a body with a length goes on', C, post('hello', 'Content-Length: 5'), got('hello', 'Content-Length: 5')),
    passes('an empty body with a length goes on', C, post('', 'Content-Length: 0'), got('', 'Content-Length: 0')),
    passes('a POST without a length has no body', C, post(''), got('')),
    passes(
      'white space around the length does not matter',
      'RFC 9110 section 5.5',
      post('hello', 'Content-Length: \t5 '),
      got('hello', 'Content-Length: 5'),
    ),
    passes(
      'a GET may have a body',
      'RFC 9110 section 9.3.1',
      `${request('GET', 'http://o.example/', 'Content-Length: 2')}ab`,
      `${gotOf('GET /', 'Content-Length: 2')}ab`,
    ),
    passes(
      'a TRACE with a body does no harm',
      'RFC 9110 section 9.3.8',
      `${request('TRACE', 'http://o.example/', 'Content-Length: 2')}ab`,
      `${gotOf('TRACE /', 'Content-Length: 2')}ab`,
    ),
    passes(
      'a body may hold what looks like a request',
      C,
      post(evil, `Content-Length: ${evil.length}`),
      got(evil, `Content-Length: ${evil.length}`),
    ),
    passes(
      'a body may hold any bytes',
      C,
      post('\0\r\n\r\n\xff', 'Content-Length: 6'),
      got('\0\r\n\r\n\xff', 'Content-Length: 6'),
    ),
    passes(
      'a chunked body goes on as it is',
      T,
      post('5\r\nhello\r\n0\r\n\r\n', 'Transfer-Encoding: chunked'),
      got('5\r\nhello\r\n0\r\n\r\n', 'Transfer-Encoding: chunked'),
    ),
    passes(
      'the coding may be in capitals',
      T,
      post('0\r\n\r\n', 'Transfer-Encoding: CHUNKED'),
      got('0\r\n\r\n', 'Transfer-Encoding: chunked'),
    ),
    length('+5'),
    length('-5'),
    length('-0'),
    length('5 5'),
    length('5,5'),
    length('5, 5'),
    length('5, 6'),
    length('5,'),
    length('05'),
    length('00'),
    length('0x5'),
    length('5a'),
    length('5.0'),
    length('5e0'),
    length('5\x0b'),
    length('\x0c5'),
    length('5\xa0'),
    length('\xb2'),
    length('five'),
    length(''),
    length(' '),
    length('"5"'),
    length('5;q=1'),
    length('9007199254740993'),
    length('18446744073709551621'),
    length('4294967301000000000000000000'),
    refused('two different lengths are refused', C, post('hello', 'Content-Length: 5', 'Content-Length: 6')),
    refused('two equal lengths are refused', C, post('hello', 'Content-Length: 5', 'content-length: 5')),
    refused(
      'a length with Transfer-Encoding is refused',
      C,
      post(`0\r\n\r\n${evil}`, 'Content-Length: 5', 'Transfer-Encoding: chunked'),
    ),
    refused(
      'Transfer-Encoding with a length is refused',
      C,
      post(`0\r\n\r\n${evil}`, 'Transfer-Encoding: chunked', 'Content-Length: 5'),
    ),
    refused(
      'a length of 0 with Transfer-Encoding is refused',
      C,
      post(`0\r\n\r\n`, 'Content-Length: 0', 'Transfer-Encoding: chunked'),
    ),
    coding('chunked, chunked'),
    coding('chunked, identity'),
    coding('identity, chunked'),
    coding('identity'),
    coding('xchunked'),
    coding('chunkedx'),
    coding('x-chunked'),
    coding('chunked;q=1'),
    coding('"chunked"'),
    coding("'chunked'"),
    coding(', chunked'),
    coding('chunked,'),
    coding('chunked\x0b'),
    coding('\x0bchunked'),
    coding('chunked\xa0'),
    coding('\x85chunked'),
    coding('chunk ed'),
    coding(''),
    coding('cow'),
    coding('gzip', 400),
    coding('chunked, gzip'),
    coding('gzip, chunked', 501),
    coding('deflate, chunked', 501),
    refused(
      'two Transfer-Encoding fields are refused',
      T,
      post('0\r\n\r\n', 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'),
    ),
    refused(
      'a second Transfer-Encoding that says something else is refused',
      T,
      post('0\r\n\r\n', 'Transfer-Encoding: chunked', 'Transfer-Encoding: identity'),
    ),
    refused(
      'a Transfer-Encoding with a space before its colon is refused',
      T,
      post('0\r\n\r\n', 'Transfer-Encoding : chunked'),
    ),
    refused(
      'a Transfer-Encoding behind a folded line is refused',
      T,
      post('0\r\n\r\n', 'A: b', ' Transfer-Encoding: chunked'),
    ),
    refused(
      'a Transfer-Encoding in HTTP/1.0 is refused',
      T,
      'POST http://o.example/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ),
    refused(
      'a Connection that names Content-Length is refused',
      'RFC 9110 section 7.6.1',
      post('hello', 'Content-Length: 5', 'Connection: content-length'),
    ),
    refused(
      'a Connection that names Transfer-Encoding is refused',
      'RFC 9110 section 7.6.1',
      post('0\r\n\r\n', 'Transfer-Encoding: chunked', 'Connection: transfer-encoding'),
    ),
  ],
};
