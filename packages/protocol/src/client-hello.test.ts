import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { readClientHello } from './client-hello.ts';

const u16 = (n: number) => [n >> 8, n & 255];
const vector8 = (bytes: number[]) => [bytes.length, ...bytes];
const vector16 = (bytes: number[]) => [...u16(bytes.length), ...bytes];
const ascii = (text: string) => [...Buffer.from(text, 'latin1')];
const extension = (type: number, data: number[]) => [...u16(type), ...vector16(data)];
const sni = (name: string, type = 0) => extension(0, vector16([type, ...vector16(ascii(name))]));
const alpn = (...names: string[]) => extension(16, vector16(names.flatMap((n) => vector8(ascii(n)))));
const versions = (...list: number[]) => extension(43, vector8(list.flatMap(u16)));

interface Parts {
  extensions?: number[] | null;
  session?: number[];
  ciphers?: number[];
  trailing?: number[];
}

function message({ extensions = [], session = [], ciphers = [0x13, 0x01], trailing = [] }: Parts = {}): number[] {
  const body = [
    ...u16(0x0303),
    ...Array(32).fill(7),
    ...vector8(session),
    ...vector16(ciphers),
    ...vector8([0]),
    ...(extensions === null ? [] : vector16(extensions)),
    ...trailing,
  ];
  return [1, 0, ...u16(body.length), ...body];
}

/** The message in records of at most `size` bytes. */
function records(bytes: number[], size = 16_384): Uint8Array {
  const out: number[] = [];
  for (let at = 0; at < bytes.length; at += size) out.push(0x16, 3, 1, ...vector16(bytes.slice(at, at + size)));
  return Uint8Array.from(out);
}

const hello = (parts?: Parts) => readClientHello(records(message(parts)));
const reason = (bytes: Uint8Array) => {
  const read = readClientHello(bytes);
  assert.equal(read.state, 'invalid');
  return 'reason' in read ? read.reason : '';
};

describe('a ClientHello', () => {
  it('gives the server name, the protocols and the highest version', () => {
    const read = hello({
      extensions: [...sni('WWW.Example.com'), ...alpn('h2', 'http/1.1'), ...versions(0x0a0a, 0x0304, 0x0303)],
    });
    assert.deepEqual(
      { ...read, size: 0 },
      {
        ...{ state: 'complete', serverName: 'www.example.com', alpn: ['h2', 'http/1.1'], version: 0x0304, size: 0 },
      },
    );
  });

  it('may have no extensions, or none of these', () => {
    for (const extensions of [null, [], extension(0xff01, [0])]) {
      const read = hello({ extensions });
      assert.ok(read.state === 'complete' && read.serverName === '' && read.version === 0x0303);
    }
  });

  it('is the same in one record, in many, and is never decided before it is whole', () => {
    const bytes = message({ extensions: [...sni('a.example'), ...alpn('h2')] });
    const whole = readClientHello(records(bytes));
    assert.equal(whole.state, 'complete');
    fc.assert(
      fc.property(fc.integer({ min: 1, max: bytes.length }), fc.nat(1000), (size, cut) => {
        const split = records(bytes, size);
        const read = readClientHello(split);
        assert.deepEqual({ ...read, size: 0 }, { ...whole, size: 0 });
        assert.ok(read.state === 'complete' && read.size === split.length);
        assert.equal(readClientHello(split.subarray(0, cut % split.length)).state, 'partial');
      }),
    );
  });

  it('with anything twice, left over or cut short is refused', () => {
    const bad: Parts[] = [
      { extensions: [...sni('a.example'), ...sni('b.example')] },
      { extensions: [...sni('a.example'), 0] },
      { extensions: extension(0, []) },
      { extensions: extension(0, vector16([0, ...vector16(ascii('a.example')), 0, ...vector16(ascii('b.example'))])) },
      { extensions: sni('a.example', 1) },
      { extensions: sni('') },
      { extensions: alpn() },
      { extensions: alpn('') },
      { extensions: extension(43, [3, 3, 4]) },
      { session: Array(33).fill(0) },
      { ciphers: [] },
      { ciphers: [0x13] },
      { trailing: [0] },
    ];
    for (const parts of bad) assert.equal(hello(parts).state, 'invalid', JSON.stringify(parts));
  });

  it('names no host that policy could misread', () => {
    for (const name of [
      'a b',
      'a\0.example',
      'a..b',
      '.a',
      'ä.example',
      'a/b',
      '[::1]',
      'a'.repeat(64),
      'a.example..',
    ]) {
      assert.equal(hello({ extensions: sni(name) }).state, 'invalid', name);
    }
    const dotted = hello({ extensions: sni('a.example.') });
    assert.ok(dotted.state === 'complete' && dotted.serverName === 'a.example');
  });

  it('is not what merely resembles one', () => {
    assert.match(reason(Uint8Array.from([0x17, 3, 3, 0, 1, 1])), /handshake/);
    assert.match(reason(Uint8Array.from([0x16, 2])), /version/);
    assert.match(reason(Uint8Array.from([0x16, 3, 9])), /version/);
    assert.match(reason(Uint8Array.from([0x16, 3, 1, 0, 0])), /empty/);
    assert.match(reason(Uint8Array.from([0x16, 3, 1, 0x40, 1])), /16384/);
    assert.match(reason(Uint8Array.from([0x16, 3, 1, 0, 4, 2])), /not a ClientHello/);
    assert.match(reason(Uint8Array.from([0x16, 3, 1, 0, 4, 1, 1, 0, 0])), /65536/);
    assert.match(reason(records([...message(), 1])), /behind/);
  });

  it('in any bytes whatever makes no exception', () => {
    const good = records(message({ extensions: [...sni('a.example'), ...alpn('h2'), ...versions(0x0304)] }));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }), (edits) => {
        const bytes = Uint8Array.from(good);
        for (const [at, value] of edits) bytes[at] = value;
        readClientHello(bytes);
      }),
      { numRuns: 5000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void readClientHello(bytes)));
  });
});
