import assert from 'node:assert/strict';
import { isIPv4, isIPv6 } from 'node:net';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { normalizeHost } from './host.ts';
import { canonicalIp, PrefixTable, parseCidr, parseIp, parseIpv4 } from './ip.ts';

describe('IP addresses', () => {
  it('in IPv4 are read exactly as the platform reads them', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.stringMatching(/^[0-9.]{0,16}$/)), (text) => {
        assert.equal(parseIpv4(text) >= 0, isIPv4(text), text);
      }),
      { numRuns: 2000 },
    );
    assert.equal(parseIpv4('255.255.255.255'), 0xffffffff);
    assert.equal(parseIpv4('1.2.3.4'), 0x01020304);
  });

  it('in IPv6 have one value and one spelling, whatever way they are written', () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        fc.pre(isIPv6(text));
        const canonical = canonicalIp(text)!;
        assert.equal(parseIp(canonical), parseIp(text));
        assert.equal(canonicalIp(canonical), canonical);
      }),
    );
    assert.equal(canonicalIp('2001:DB8:0:0:0:0:0:1'), '2001:db8::1');
    assert.equal(canonicalIp('::ffff:192.0.2.1'), '192.0.2.1');
    assert.equal(parseIp('::1'), 1n);
    assert.equal(parseIp('1::'), 1n << 112n);
    assert.equal(parseIp('fe80::1%eth0'), null);
    assert.equal(parseIp('::ffff:1.2.3.4'), 0x01020304);
  });

  it('find the longest network that holds them', () => {
    const addresses = fc.nat(0xffffffff);
    fc.assert(
      fc.property(fc.array(fc.tuple(addresses, fc.integer({ min: 0, max: 32 }))), addresses, (networks, ip) => {
        const table = new PrefixTable<number>();
        let best = -1;
        for (const [address, length] of networks) {
          const size = 2 ** (32 - length);
          const base = Math.floor(address / size) * size;
          table.add({ base, length }, length);
          if (ip >= base && ip < base + size) best = Math.max(best, length);
        }
        assert.equal(table.get(ip) ?? -1, best);
      }),
    );
  });

  it('are networks only when they are written as such', () => {
    assert.deepEqual(parseCidr('0.0.0.0/0'), { base: 0, length: 0 });
    assert.deepEqual(parseCidr('10.0.0.0/8'), { base: 0x0a000000, length: 8 });
    assert.deepEqual(parseCidr('::/0'), { base: 0n, length: 0 });
    assert.deepEqual(parseCidr('192.0.2.1'), { base: 0xc0000201, length: 32 });
    for (const bad of ['10.0.0.1/8', '10.0.0.0/', '10.0.0.0/08', '10.0.0.0/-1', '10/8', '::1/127', '::/129', 'x', '']) {
      assert.throws(() => parseCidr(bad), Error, bad);
    }
  });
});

describe('host names', () => {
  it('have one spelling', () => {
    const cases: [string, string | null][] = [
      ['Example.COM.', 'example.com'],
      ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
      ['BÜCHER.example', 'xn--bcher-kva.example'],
      ['_dmarc.example', '_dmarc.example'],
      ['[::1]', null],
      ['::1', '::1'],
      ['127.0.0.1', '127.0.0.1'],
      ['127.1', null],
      ['0x7f000001', null],
      ['a..b', null],
      ['.', null],
      ['', null],
      ['a b', null],
      ['a/b', null],
      ['example.com..', null],
      [`${'a'.repeat(64)}.example`, null],
      [Array.from({ length: 64 }, () => 'abc').join('.'), null],
    ];
    for (const [text, host] of cases) assert.equal(normalizeHost(text), host, text);
  });
});
