import { type Case, get, got, gotOf, passes, refused, request, type Topic } from '../lib/case.ts';

const limits = (values: Record<string, number>): Partial<Case> => ({ server: { limits: values } });
const line = limits({ request_line_bytes: 256 });
const head = limits({ header_bytes: 1024, request_line_bytes: 256 });
const fields = limits({ header_fields: 8 });
const body = limits({ body_bytes: 5 });
/** A request whose request line has exactly this many bytes. */
const lineOf = (bytes: number) =>
  request('GET', `http://o.example/${'a'.repeat(bytes - 'GET http://o.example/ HTTP/1.1'.length)}`);
/** A request whose head has exactly this many bytes. */
const headOf = (bytes: number) => get(`A: ${'a'.repeat(bytes - get('A: ').length)}`);
const post = (...of: string[]) => request('POST', 'http://o.example/', ...of);
const chunked = 'Transfer-Encoding: chunked';
const tooMany = Array.from({ length: 8 }, (_, i) => `A${i}: b`);

export const sizes: Topic = {
  name: 'limits of size',
  cases: [
    passes(
      'a request line as long as allowed passes',
      'RFC 9112 section 3',
      lineOf(256),
      gotOf(`GET /${'a'.repeat(256 - 30)}`),
      line,
    ),
    refused('a request line one byte longer is refused', 'RFC 9112 section 3', lineOf(257), 414, line),
    refused(
      'a request line without an end is refused before it ends',
      'RFC 9112 section 3',
      `GET http://o.example/${'a'.repeat(400)}`,
      414,
      line,
    ),
    refused('a request line that is far too long is refused', 'RFC 9112 section 3', lineOf(5000), 414, {
      ...head,
      cuts: 'none',
    }),
    passes(
      'a head as long as allowed passes',
      'RFC 9110 section 5.4',
      headOf(1024),
      got(`A: ${'a'.repeat(1024 - get('A: ').length)}`),
      head,
    ),
    refused('a head one byte longer is refused', 'RFC 9110 section 5.4', headOf(1025), 431, head),
    refused(
      'a head without an end is refused before it ends',
      'RFC 9110 section 5.4',
      headOf(1400).slice(0, -4),
      431,
      head,
    ),
    passes(
      'as many fields as allowed pass',
      'RFC 9110 section 5.4',
      get(...tooMany.slice(1)),
      got(...tooMany.slice(1)),
      fields,
    ),
    refused('one field more is refused', 'RFC 9110 section 5.4', get(...tooMany), 431, fields),
    passes(
      'a body as long as allowed passes',
      'RFC 9110 section 15.5.14',
      `${post('Content-Length: 5')}hello`,
      `${gotOf('POST /', 'Content-Length: 5')}hello`,
      body,
    ),
    refused(
      'a body one byte longer is refused by its length',
      'RFC 9110 section 15.5.14',
      post('Content-Length: 6'),
      413,
      body,
    ),
    {
      ...refused(
        'a chunked body is refused once it is too long',
        'RFC 9110 section 15.5.14',
        `${post(chunked)}a\r\n0123456789\r\n0\r\n\r\n`,
        413,
        body,
      ),
      reached: `${gotOf('POST /', chunked)}a\r\n0123456789\r\n0\r\n\r\n`,
      partly: true,
      origin: [''],
    },
  ],
};
