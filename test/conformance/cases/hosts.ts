import { get, got, passes, refused, type Topic } from '../lib/case.ts';

const S = 'RFC 9112 section 3.2';
const A = 'RFC 9112 section 3.2.2';
const at = (...hosts: string[]) => `GET http://o.example/ HTTP/1.1\r\n${hosts.map((h) => `${h}\r\n`).join('')}\r\n`;
const strict = { server: { host_mismatch: 'refuse' } };

export const hosts: Topic = {
  name: 'Host',
  cases: [
    passes('another Host is replaced by that of the target', A, at('Host: other.example'), got()),
    passes('an empty Host is replaced by that of the target', A, at('Host:'), got()),
    passes('a Host of white space is an empty one', A, at('Host: \t '), got()),
    passes('a Host with another port is replaced', A, at('Host: o.example:81'), got()),
    passes('a Host in capitals is replaced', A, at('HOST: O.Example'), got()),
    passes(
      'Host comes first, wherever it was',
      'RFC 9110 section 7.2',
      at('A: 1', 'Host: o.example', 'B: 2'),
      got('A: 1', 'B: 2'),
    ),
    passes(
      'white space around Host does not matter',
      'RFC 9110 section 5.5',
      at('Host:  \t o.example \t'),
      got(),
      strict,
    ),
    passes('the same host is no mismatch', A, get(), got(), strict),
    passes('the same host with its default port is no mismatch', A, at('Host: o.example:80'), got(), strict),
    passes('the same host in capitals and with a dot is no mismatch', A, at('Host: O.EXAMPLE.'), got(), strict),
    passes(
      'an HTTP/1.0 request needs no Host',
      S,
      'GET http://o.example/ HTTP/1.0\r\n\r\n',
      got().replace('Via: 1.1', 'Via: 1.0'),
      {
        end: 'closed',
      },
    ),
    refused('another Host is refused when the server is told so', A, at('Host: other.example'), 400, {
      ...strict,
      answers: [{ status: 400, code: 'host_mismatch' }],
    }),
    refused('another port in Host is refused when the server is told so', A, at('Host: o.example:81'), 400, strict),
    refused('an empty Host is refused when the server is told so', A, at('Host:'), 400, strict),
    refused('an HTTP/1.1 request without Host is refused', S, at()),
    refused('two Host fields are refused', S, at('Host: o.example', 'Host: evil.example')),
    refused('two equal Host fields are refused', S, at('Host: o.example', 'host: o.example')),
    refused('a list of hosts is refused', S, at('Host: o.example, evil.example')),
    refused('two hosts with a space between are refused', S, at('Host: o.example evil.example')),
    refused('a Host with userinfo is refused', S, at('Host: a@o.example')),
    refused('a Host with a path is refused', S, at('Host: o.example/a')),
    refused('a Host with a scheme is refused', S, at('Host: http://o.example')),
    refused('a Host with a bad port is refused', S, at('Host: o.example:x')),
    refused('a Host with a port out of range is refused', S, at('Host: o.example:99999')),
    refused('a Host that only looks like an IPv4 address is refused', S, at('Host: 127.1')),
    refused('a Host with obs-text is refused', S, at('Host: o.exampl\xe9')),
    refused('a folded Host is refused', S, at('Host: o.example', ' evil.example')),
    refused(
      'white space before the first field is refused',
      'RFC 9112 section 2.2',
      'GET http://o.example/ HTTP/1.1\r\n Host: evil.example\r\nHost: o.example\r\n\r\n',
    ),
  ],
};
