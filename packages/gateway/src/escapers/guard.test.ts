import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EgressGuard } from './guard.ts';

const closed = new EgressGuard([]);

describe('the egress guard', () => {
  it('refuses every address that is not public', () => {
    const refused: Record<string, string[]> = {
      loopback: ['127.0.0.1', '127.255.255.254', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', '::ffff:7f00:1'],
      unspecified: ['0.0.0.0', '0.1.2.3', '::', '::ffff:0.0.0.0'],
      private: ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '100.64.0.1', '100.127.255.255'],
      'link-local': ['169.254.1.1', 'fe80::1', 'febf::1', '::ffff:169.254.1.1'],
      metadata: [
        '169.254.169.254',
        '169.254.170.2',
        '169.254.170.23',
        '169.254.169.123',
        '169.254.169.253',
        '100.100.100.200',
        '192.0.0.192',
        '168.63.129.16',
        'fd00:ec2::254',
      ],
      multicast: ['224.0.0.1', '239.255.255.255', 'ff02::1'],
      broadcast: ['255.255.255.255'],
      reserved: [
        '240.0.0.1',
        '198.18.0.1',
        '192.0.2.1',
        '2001:db8::1',
        '::7f00:1',
        '100::1',
        '64:ff9b:1::1',
        '4000::1',
      ],
    };
    for (const [what, addresses] of Object.entries(refused)) {
      for (const address of addresses) assert.equal(closed.refuses(address, 443), `${what} address`, address);
    }
    for (const address of ['fc00::1', 'fdff::1', 'fec0::1'])
      assert.equal(closed.refuses(address, 443), 'private address');
  });

  it('says why in a sentence', () => {
    for (const [address, sentence] of [
      ['127.0.0.1', '127.0.0.1 is a loopback address'],
      ['0.0.0.0', '0.0.0.0 is an unspecified address'],
      ['fe80::1%eth0', 'fe80::1%eth0 is an address with a zone'],
      ['nothing', 'nothing is not an address'],
    ] as const) {
      assert.equal(closed.explain(address, 443), sentence);
    }
  });

  it('looks into addresses that carry an IPv4 address', () => {
    assert.equal(closed.refuses('64:ff9b::7f00:1', 443), 'loopback address', 'NAT64');
    assert.equal(closed.refuses('64:ff9b::10.0.0.1', 443), 'private address', 'NAT64');
    assert.equal(closed.refuses('2002:a9fe:a9fe::1', 443), 'metadata address', '6to4');
    assert.equal(closed.refuses('2002:c0a8:101::', 443), 'private address', '6to4');
    assert.equal(closed.refuses('2001:0:4136:e378:8000:63bf:3fff:fdd2', 443), 'reserved address', 'Teredo');
    assert.equal(closed.refuses('64:ff9b::8.8.8.8', 443), null);
    assert.equal(closed.refuses('2002:808:808::1', 443), null);
  });

  it('lets public addresses through, up to the edges of what it refuses', () => {
    for (const address of [
      ...['8.8.8.8', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '126.255.255.255', '128.0.0.1'],
      ...['172.15.255.255', '172.32.0.0', '192.167.255.255', '192.169.0.0', '223.255.255.255', '::ffff:8.8.8.8'],
      ...['2606:4700:4700::1111', '2a00:1450::1', '2001:4860:4860::8888'],
    ]) {
      assert.equal(closed.refuses(address, 443), null, address);
    }
  });

  it('refuses what is not an address in its one spelling', () => {
    for (const text of [
      '127.1',
      '0x7f.0.0.1',
      '2130706433',
      '0177.0.0.1',
      '127.0.0.1.',
      ' 127.0.0.1',
      'localhost',
      '',
    ]) {
      assert.equal(closed.refuses(text, 443), 'not an address', text);
    }
    assert.equal(closed.refuses('fe80::1%eth0', 443), 'address with a zone');
    assert.equal(closed.refuses('2606:4700::1%eth0', 443), 'address with a zone');
  });

  it('opens exactly what the tenant opens', () => {
    const guard = new EgressGuard([{ network: '127.0.0.1', ports: [7700] }, { network: '10.1.0.0/16' }]);
    assert.equal(guard.refuses('127.0.0.1', 7700), null);
    assert.equal(guard.refuses('::ffff:127.0.0.1', 7700), null);
    assert.equal(guard.refuses('127.0.0.1', 7701), 'loopback address');
    assert.equal(guard.refuses('127.0.0.2', 7700), 'loopback address');
    assert.equal(guard.refuses('::1', 7700), 'loopback address');
    assert.equal(guard.refuses('10.1.2.3', 1), null);
    assert.equal(guard.refuses('10.2.0.1', 1), 'private address');
    assert.deepEqual(guard.filter(['10.1.0.1', '10.2.0.1', '8.8.8.8'], 80), ['10.1.0.1', '8.8.8.8']);
  });

  it('opens a metadata address only by its own name', () => {
    const wide = new EgressGuard([{ network: '0.0.0.0/0' }, { network: '::/0' }]);
    assert.equal(wide.refuses('10.0.0.1', 80), null);
    assert.equal(wide.refuses('fd00::1', 80), null);
    assert.equal(wide.refuses('169.254.169.254', 80), 'metadata address');
    assert.equal(wide.refuses('fd00:ec2::254', 80), 'metadata address');
    const narrow = new EgressGuard([{ network: '169.254.169.254' }, { network: 'fd00:ec2::254/128' }]);
    assert.equal(narrow.refuses('169.254.169.254', 80), null);
    assert.equal(narrow.refuses('fd00:ec2::254', 80), null);
  });
});
