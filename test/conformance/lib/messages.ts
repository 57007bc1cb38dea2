/** Messages for the comparison of parsers: right ones, nearly right ones, and what attackers make of them. */
import fc from 'fast-check';

const pick = <T>(...values: readonly T[]) => fc.constantFrom(...values);
/** Mostly the first, now and then one of the others. */
const mostly = <T>(usual: fc.Arbitrary<T>, odd: fc.Arbitrary<T>) =>
  fc.oneof({ arbitrary: usual, weight: 30 }, { arbitrary: odd, weight: 1 });

const eol = mostly(fc.constant('\r\n'), pick('\n', '\r', '\r\r\n', '\n\r', '\r\n\r\n', '\r\n ', ' \r\n', ''));
const method = mostly(
  pick('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD', 'TRACE', 'PATCH'),
  pick('BREW', 'get', 'GE T', 'G\0T', '', 'CONNECT', 'PRI', 'GET\t', '"GET"'),
);
const target = mostly(
  pick(
    'http://o.example/',
    'http://o.example',
    'http://o.example:81/a?b=c',
    'http://[::1]/',
    'http://o.example?x',
    'HTTP://O.EXAMPLE/%2e',
    "http://o.example/!$&'()*+,;=:@~",
    'http://o.example//',
  ),
  pick(
    '/',
    '*',
    'o.example:443',
    'http://u@o.example/',
    'http://o.example/#f',
    'http://o.example/\\',
    'http://o.example/"<>^`{|}',
    'http://127.1/',
    'http:///',
    'https://o.example/',
    'http://o.example/\x80',
    'http://o.example/ x',
    'http://o_o.example/',
    'http://-o.example/?/?#',
  ),
);
const version = mostly(
  pick('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0'),
  pick('HTTP/1.2', 'HTTP/2.0', 'HTTP/0.9', 'http/1.1', 'HTTP/1.', 'HTTP/1.1 ', 'HTTP/ 1.1', 'HTTP/11'),
);
const space = mostly(fc.constant(' '), pick('  ', '\t', '', '\x0b', '\x85', '\xa0'));
const colon = mostly(pick(': ', ':', ':\t', ':  '), pick(' :', '\t: ', ':\x0b', ':\0', '=', ';'));

const plain = fc.tuple(
  mostly(
    pick('A', 'Accept', 'X-Long-Name', 'Cookie', 'te', "x!#$%&'*+-.^_`|~"),
    pick('', 'A B', 'A\0', 'A\x80', '(A)', 'A/B', ' A', '\tA', 'Host', 'Transfer-Encoding\x0b'),
  ),
  mostly(
    pick('b', 'b c', '', 'b, c', '"x"', '\xe9', 'b\tc'),
    pick('b\0', 'b\rc', 'b\nc', '\x7f', '\x01', 'b\r\n c', '\x0b'),
  ),
);
const lengthValue = mostly(
  pick('0', '1', '5', '5', '10'),
  pick(
    '+5',
    '-5',
    '05',
    '5 5',
    '5,5',
    '5, 6',
    '0x5',
    '5a',
    '',
    ' ',
    '5\0',
    '99999999999999999999',
    '18446744073709551621',
    '5.0',
    '5;',
    '\t5\t',
    '5\x0b',
  ),
);
const codingValue = mostly(
  fc.constant('chunked'),
  pick(
    'Chunked',
    'chunked, chunked',
    'identity',
    'gzip, chunked',
    'chunked, gzip',
    'xchunked',
    'chunked;x',
    '',
    ' chunked ',
    ',chunked',
    'chunked\x0b',
    '\x0bchunked',
    '"chunked"',
    'chunked,',
    'identity, chunked',
  ),
);
const framing = fc.oneof(
  fc.constant<string[][]>([]),
  lengthValue.map((v) => [['Content-Length', v]]),
  codingValue.map((v) => [['Transfer-Encoding', v]]),
  fc.tuple(lengthValue, codingValue).map(([l, c]) => [
    ['Content-Length', l],
    ['Transfer-Encoding', c],
  ]),
  fc.tuple(lengthValue, lengthValue).map(([a, b]) => [
    ['Content-Length', a],
    ['content-length', b],
  ]),
  fc.tuple(codingValue, codingValue).map(([a, b]) => [
    ['Transfer-Encoding', a],
    ['TRANSFER-ENCODING', b],
  ]),
);
const connection = fc.oneof(
  { arbitrary: fc.constant<string[][]>([]), weight: 4 },
  {
    arbitrary: pick('close', 'keep-alive', 'x, y', 'close, keep-alive', ',', 'Content-Length', 'a b').map((v) => [
      ['Connection', v],
    ]),
    weight: 1,
  },
);

const size = mostly(
  pick('1', '5', 'a', '0A', '005'),
  pick(
    '',
    '+5',
    '-1',
    ' 5',
    '5 ',
    '0x5',
    'g',
    '5\t',
    '5\x0b',
    '100000000000000005',
    'fffffffffffffffff',
    '5_0',
    '00000000000000000005',
    '5\0',
  ),
);
const extension = mostly(
  fc.constant(''),
  pick(
    ';a',
    ';a=b',
    ';a="b c"',
    ';',
    ';a=',
    ' ;a',
    ';a b',
    ';a="b',
    ';a=b;c',
    ';\0',
    ';a\n',
    ';a="\\""',
    ';"a"',
    ';=b',
    ';a=b=c',
    ';a"b"',
  ),
);
const chunk = fc
  .tuple(size, extension, eol, mostly(fc.constant(''), pick('x', '\r\n', '0')), eol)
  .map(([s, e, a, more, b]) => {
    const n = Number.parseInt(s, 16);
    return `${s}${e}${a}${'d'.repeat(n >= 0 && n < 32 ? n : 1)}${more}${b}`;
  });
const trailer = fc.oneof(
  { arbitrary: fc.constant(''), weight: 6 },
  {
    arbitrary: pick(
      'X: y\r\n',
      'X:\r\n',
      'X : y\r\n',
      'X: y\n',
      ' X: y\r\n',
      'Content-Length: 5\r\n',
      'GET / HTTP/1.1\r\n',
      'X: \0\r\n',
      'X\r\n',
      ': y\r\n',
      'X: y\r\n z\r\n',
    ),
    weight: 1,
  },
);
const chunks = fc
  .tuple(
    fc.array(chunk, { maxLength: 3 }),
    mostly(fc.constant('0'), pick('00', '', '0 ', '-0', '0x0')),
    extension,
    eol,
    trailer,
    eol,
  )
  .map(([list, zero, ext, a, t, b]) => `${list.join('')}${zero}${ext}${a}${t}${b}`);
const body = fc.oneof(fc.constant(''), fc.constant('hello'), fc.constant('0123456789'), chunks, chunks);

const fields = fc
  .tuple(
    fc.array(plain, { maxLength: 3 }),
    framing,
    connection,
    mostly(
      fc.constant<string[][]>([['Host', 'o.example']]),
      pick<string[][]>(
        [],
        [
          ['Host', 'a'],
          ['Host', 'b'],
        ],
        [['Host', 'a, b']],
        [['Host', '']],
      ),
    ),
  )
  .chain(([some, frame, conn, host]) =>
    fc.shuffledSubarray([...some, ...frame, ...conn, ...host], {
      minLength: some.length + frame.length + conn.length + host.length,
    }),
  );
const head = (start: fc.Arbitrary<string>) =>
  fc
    .tuple(
      start,
      eol,
      fields,
      fc.array(fc.tuple(colon, eol), { minLength: 9, maxLength: 9 }),
      mostly(fc.constant('\r\n'), eol),
    )
    .map(
      ([line, first, list, joins, last]) =>
        `${line}${first}${list.map(([n, v], i) => `${n}${joins[i]![0]}${v}${joins[i]![1]}`).join('')}${last}`,
    );

/** Any byte, preferably one that matters. */
const byte = fc.oneof(
  fc.integer({ min: 0, max: 255 }),
  pick(0, 9, 10, 11, 12, 13, 32, 34, 44, 48, 58, 59, 0x7f, 0x85, 0xa0),
);
const mutation = fc.record({
  at: fc.nat(10_000),
  kind: pick('insert', 'replace', 'delete', 'copy'),
  byte,
  size: fc.integer({ min: 1, max: 20 }),
});
const mutations = fc.oneof(
  { arbitrary: fc.constant([]), weight: 2 },
  { arbitrary: fc.array(mutation, { maxLength: 3 }), weight: 1 },
);

const mutated = (text: fc.Arbitrary<string>) =>
  fc.tuple(text, body, mutations).map(([h, b, list]) => {
    let whole = h + b;
    for (const m of list) {
      const at = m.at % (whole.length + 1);
      const c = String.fromCharCode(m.byte);
      if (m.kind === 'insert') whole = whole.slice(0, at) + c + whole.slice(at);
      else if (m.kind === 'replace') whole = whole.slice(0, at) + c + whole.slice(at + 1);
      else if (m.kind === 'delete') whole = whole.slice(0, at) + whole.slice(at + m.size);
      else whole = whole.slice(0, at) + whole.slice(at, at + m.size) + whole.slice(at);
    }
    return whole;
  });

export const requests = mutated(head(fc.tuple(method, space, target, space, version).map((parts) => parts.join(''))));
const status = mostly(
  pick('200', '204', '304', '404', '100', '500'),
  pick('20', '2000', '099', '+20', '', '1e2', '700'),
);
const reason = mostly(pick(' OK', ' ', '', ' Not Found'), pick(' \0', '  x', '\tOK', ' \xe9', ' a\rb'));
export const responses = mutated(head(fc.tuple(version, space, status, reason).map((parts) => parts.join(''))));
