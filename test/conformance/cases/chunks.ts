import { type Case, get, got, gotOf, ok, passes, request, type Topic } from '../lib/case.ts';

const K = 'RFC 9112 section 7.1';
const E = 'RFC 9112 section 7.1.1';
const R = 'RFC 9112 section 7.1.2';
const head = request('POST', 'http://o.example/', 'Transfer-Encoding: chunked');
const reached = gotOf('POST /', 'Transfer-Encoding: chunked');

const good = (name: string, rfc: string, body: string): Case => passes(name, rfc, head + body, reached + body);
/** The origin may have seen the part that was right, never a whole message; the client gets 400. */
const bad = (name: string, rfc: string, body: string): Case => ({
  name,
  rfc,
  client: head + body,
  reached: `${reached}${body}`,
  partly: true,
  origin: [ok()],
  answers: [{ status: 400, code: 'bad_request' }],
  end: 'closed',
  pooled: 0,
});

export const chunks: Topic = {
  name: 'chunked bodies of requests',
  cases: [
    good('an empty body', K, '0\r\n\r\n'),
    good('several chunks', K, '1\r\na\r\n2\r\nbc\r\n0\r\n\r\n'),
    good('sizes in capitals and small letters', K, 'a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n'),
    good('a size with leading zeros', K, '0005\r\nhello\r\n0\r\n\r\n'),
    good('a last chunk of several zeros', K, '000\r\n\r\n'),
    good('chunk data that looks like the end', K, '7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n'),
    good('a chunk extension', E, '5;a\r\nhello\r\n0\r\n\r\n'),
    good('a chunk extension with a value', E, '5;a=b;c="d e"\r\nhello\r\n0;x=y\r\n\r\n'),
    good('a trailer', R, '0\r\nX-Sum: 1\r\n\r\n'),
    good('several trailers', R, '1\r\na\r\n0\r\nX-Sum: 1\r\nX-Other:\r\n\r\n'),
    {
      ...good('a request behind the last chunk is the next one', K, `0\r\n\r\n`),
      client: `${head}0\r\n\r\n${get()}`,
      reached: `${reached}0\r\n\r\n${got()}`,
      origin: [ok(), ok('two')],
      answers: [200, { status: 200, body: 'two' }],
    },
    bad('an empty size', K, '\r\nhello\r\n0\r\n\r\n'),
    bad('a size with a plus sign', K, '+5\r\nhello\r\n0\r\n\r\n'),
    bad('a size with a minus sign', K, '-5\r\nhello\r\n0\r\n\r\n'),
    bad('a size with 0x', K, '0x5\r\nhello\r\n0\r\n\r\n'),
    bad('a size that is no hex number', K, 'g\r\nhello\r\n0\r\n\r\n'),
    bad('a size with an underscore', K, '1_0\r\nhello\r\n0\r\n\r\n'),
    bad('a space before the size', K, ' 5\r\nhello\r\n0\r\n\r\n'),
    bad('a space behind the size', K, '5 \r\nhello\r\n0\r\n\r\n'),
    bad('a tab behind the size', K, '5\t\r\nhello\r\n0\r\n\r\n'),
    bad('a vertical tab behind the size', K, '5\x0b\r\nhello\r\n0\r\n\r\n'),
    bad('0x85 behind the size', K, '5\x85\r\nhello\r\n0\r\n\r\n'),
    bad('NUL behind the size', K, '5\0\r\nhello\r\n0\r\n\r\n'),
    bad('a size beyond 32 bits by overflow', K, '100000000000000005\r\nhello\r\n0\r\n\r\n'),
    bad('a size beyond 64 bits', K, 'fffffffffffffffff\r\nhello\r\n0\r\n\r\n'),
    bad('a size with too many leading zeros', K, '00000000000000000005\r\nhello\r\n0\r\n\r\n'),
    bad('a size line that ends in LF only', K, '5\nhello\r\n0\r\n\r\n'),
    bad('a size line that ends in CR only', K, '5\rhello\r\n0\r\n\r\n'),
    bad('a size line that ends in CR CR LF', K, '5\r\r\nhello\r\n0\r\n\r\n'),
    bad('data that ends in LF only', K, '5\r\nhello\n0\r\n\r\n'),
    bad('data that ends in CR only', K, '5\r\nhello\r0\r\n\r\n'),
    bad('data that is longer than its size', K, '4\r\nhello\r\n0\r\n\r\n'),
    bad('data that is shorter than its size', K, '6\r\nhello\r\n0\r\n\r\n'),
    bad('data without a line end', K, '5\r\nhello0\r\n\r\n'),
    bad('a last chunk that ends in LF only', K, '0\n\r\n'),
    bad('an end of LF only', K, '0\r\n\n'),
    bad('an end of CR and something else', K, '0\r\n\rX'),
    bad('an extension with a bare LF', E, '5;a\nhello\r\n0\r\n\r\n'),
    bad('an extension with a bare CR', E, '5;a\rb\r\nhello\r\n0\r\n\r\n'),
    bad('an extension with a line end in quotes', E, '5;a="\r\n0\r\n\r\nGET /evil HTTP/1.1\r\n"\r\nhello\r\n0\r\n\r\n'),
    bad('an extension without a name', E, '5;\r\nhello\r\n0\r\n\r\n'),
    bad('an extension with an empty value', E, '5;a=\r\nhello\r\n0\r\n\r\n'),
    bad('an extension with NUL', E, '5;a\0\r\nhello\r\n0\r\n\r\n'),
    // RFC 9112 allows this white space ("bad white space"); no client sends it, and readers differ on it: refused.
    bad('white space in an extension', E, '5 ;a\r\nhello\r\n0\r\n\r\n'),
    bad('a trailer that is folded', R, '0\r\nA: b\r\n c\r\n\r\n'),
    bad('a trailer without a colon', R, '0\r\nAb\r\n\r\n'),
    bad('a trailer with a space before its colon', R, '0\r\nA : b\r\n\r\n'),
    bad('a trailer with a bare LF', R, '0\r\nA: b\nc: d\r\n\r\n'),
    bad('a trailer with NUL', R, '0\r\nA: \0\r\n\r\n'),
    bad('a trailer with a start line', R, '0\r\nGET /evil HTTP/1.1\r\n\r\n'),
    bad('a trailer that changes the length', 'RFC 9110 section 6.5.1', '0\r\nContent-Length: 5\r\n\r\n'),
    bad('a trailer that changes the coding', 'RFC 9110 section 6.5.1', '0\r\nTransfer-Encoding: chunked\r\n\r\n'),
    bad('a trailer that changes the host', 'RFC 9110 section 6.5.1', '0\r\nHost: evil.example\r\n\r\n'),
    bad('a trailer with credentials', 'RFC 9110 section 6.5.1', '0\r\nAuthorization: Basic eDp5\r\n\r\n'),
    bad('a trailer with proxy credentials', 'RFC 9110 section 6.5.1', '0\r\nProxy-Authorization: Basic eDp5\r\n\r\n'),
    bad('a trailer that names a tenant', 'RFC 9110 section 6.5.1', '0\r\nX-Tenant-ID: other\r\n\r\n'),
    bad('a trailer that says whom it was forwarded for', 'RFC 9110 section 6.5.1', '0\r\nForwarded: for=a\r\n\r\n'),
    {
      ...bad('a trailer that Connection names', 'RFC 9110 section 7.6.1', '0\r\nX-Mine: a\r\n\r\n'),
      client: `${request('POST', 'http://o.example/', 'Transfer-Encoding: chunked', 'Connection: X-Mine')}0\r\nX-Mine: a\r\n\r\n`,
    },
    good('a short extension in each of many chunks', E, `${'1;sig=0123456789abcdef\r\na\r\n'.repeat(300)}0\r\n\r\n`),
    { ...bad('extensions without end', E, `1${';abcdefg'.repeat(600)}\r\na\r\n0\r\n\r\n`), cuts: 'none' },
    { ...bad('trailers without end', R, `0\r\n${'A: 0123456789\r\n'.repeat(1200)}\r\n`), cuts: 'none' },
  ],
};
