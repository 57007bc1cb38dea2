import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isRefused } from './request.ts';
import { parseAuthority } from './target.ts';

describe('an authority', () => {
  it('is read as host and port, in one spelling', () => {
    for (const [text, host, port, literal, written] of [
      ['o.example', 'o.example', 80, false, 'o.example'],
      ['O.Example.:80', 'o.example', 80, false, 'o.example'],
      ['o.example:8080', 'o.example', 8080, false, 'o.example:8080'],
      ['o_o.example', 'o_o.example', 80, false, 'o_o.example'],
      ['xn--bcher-kva.example', 'xn--bcher-kva.example', 80, false, 'xn--bcher-kva.example'],
      ['192.0.2.1:81', '192.0.2.1', 81, true, '192.0.2.1:81'],
      ['[2001:DB8::1]', '2001:db8::1', 80, true, '[2001:db8::1]'],
      ['[2001:DB8:0:0:0:0:0:1]', '2001:db8::1', 80, true, '[2001:db8::1]'],
      ['[2001:db8:0:0:1:0:0:1]', '2001:db8::1:0:0:1', 80, true, '[2001:db8::1:0:0:1]'],
      ['[::ffff:192.0.2.1]:443', '192.0.2.1', 443, true, '192.0.2.1:443'],
      ['[::FFFF:c000:201]', '192.0.2.1', 80, true, '192.0.2.1'],
      ['[0:0:0:0:0:ffff:0:7]', '0.0.0.7', 80, true, '0.0.0.7'],
      ['[::ffff:0:192.0.2.1]', '::ffff:0:c000:201', 80, true, '[::ffff:0:c000:201]'],
      ['[::192.0.2.1]', '::c000:201', 80, true, '[::c000:201]'],
    ] as const) {
      const key = `${host.includes(':') ? `[${host}]` : host}:${port}`;
      assert.deepEqual(parseAuthority(text, 80), { host, port, literal, key, text: written });
    }
  });

  it('is refused when two readers could mean different hosts', () => {
    const bad = [
      '',
      '.',
      '..',
      'a..b',
      '.a',
      'a..',
      'a b',
      'a,b',
      'a@b',
      'a%2eb',
      'a/b',
      'a\\b',
      'a?b',
      'a#b',
      'b\xfccher',
      '*',
      '127.1',
      '1',
      '0x7f.1',
      '0x7f000001',
      '0177.0.0.1',
      '256.1.1.1',
      '1.2.3.4.5',
      '1.2.3.0x4',
      'a.0x',
      '::1',
      '[::1',
      '[::1]x',
      '[]',
      '[1.2.3.4]',
      '[fe80::1%eth0]',
      '[::g]',
      'a:',
      'a:0',
      'a:65536',
      'a:99999',
      'a:123456',
      'a:+80',
      'a:-1',
      'a: 80',
      'a:80 ',
      'a:8o',
      'a:80:80',
      ':80',
      'a'.repeat(254),
    ];
    for (const text of bad) assert.ok(isRefused(parseAuthority(text, 80)), JSON.stringify(text));
  });

  it('must name a port where there is none to fall back on', () => {
    assert.ok(isRefused(parseAuthority('o.example', 0)));
    assert.equal((parseAuthority('o.example:443', 0) as { text: string }).text, 'o.example:443');
  });
});
