import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { z } from 'zod';
import type { PolicyConfig } from '../config.ts';
import type { Policy } from '../kind.ts';
import { testGraph } from '../testing/graph.ts';
import { testServices, testSession } from '../testing/services.ts';

const test = testServices();
after(() => test.close());

type Input = z.input<typeof PolicyConfig>;
type Without<T> = T extends unknown ? Omit<T, 'name'> : never;
const policy = (fields: Without<Input>): Policy =>
  testGraph({ policies: [{ name: 'p', ...fields } as Input] }, test.services).policies[0]!;

const to = (host: string) => testSession(host);

describe('url_filter', () => {
  it('blocks a site and all below it, and names the rule', () => {
    const p = policy({
      type: 'url_filter',
      rules: [
        { child_match: 'ads.example', action: 'block', id: 'ads' },
        { exact_match: 'www.bad.example', action: 'block' },
      ],
    });
    const verdict = p.check(to('x.ads.example'));
    assert.deepEqual([verdict?.action, verdict?.policy, verdict?.rule], ['block', 'p', 'ads']);
    assert.equal(p.check(to('www.bad.example'))?.rule, 'exact_match www.bad.example');
    assert.equal(p.check(to('bad.example')), null);
    assert.equal(p.check(to('loads.example')), null);
  });

  it('lets the more exact rule win, allow or block', () => {
    const p = policy({
      type: 'url_filter',
      rules: [
        { regex_match: '.', action: 'block' },
        { child_match: 'example', action: 'block' },
        { child_match: 'good.example', action: 'allow' },
        { exact_match: 'evil.good.example', action: 'block' },
      ],
    });
    assert.equal(p.check(to('a.good.example')), null);
    assert.equal(p.check(to('evil.good.example'))?.rule, 'exact_match evil.good.example');
    assert.equal(p.check(to('a.example'))?.rule, 'child_match example');
    assert.equal(p.check(to('other'))?.rule, 'regex_match .');
  });

  it('redirects', () => {
    const p = policy({
      type: 'url_filter',
      rules: [{ regex_match: '(^|\\.)casino\\d*\\.', action: 'redirect', redirect_url: 'https://intranet.example/no' }],
    });
    const verdict = p.check(to('www.casino7.example'));
    assert.deepEqual([verdict?.action, verdict?.location], ['redirect', 'https://intranet.example/no']);
    assert.equal(p.check(to('mycasino.example')), null);
  });

  it('can allow a list and nothing else', () => {
    const p = policy({
      type: 'url_filter',
      default: 'block',
      rules: [{ exact_match: ['a.example', '::1'], action: 'allow' }],
    });
    assert.equal(p.check(to('a.example')), null);
    assert.equal(p.check(to('0:0:0:0:0:0:0:1')), null);
    assert.equal(p.check(to('b.example'))?.rule, 'default');
  });

  it('takes IDNs, capitals and trailing dots as the site is meant', () => {
    const p = policy({
      type: 'url_filter',
      rules: [{ exact_match: ['Bücher.Example.', 'UP.example'], action: 'block' }],
    });
    assert.equal(p.check(to('xn--bcher-kva.example'))?.action, 'block');
    assert.equal(p.check(to('up.example'))?.action, 'block');
  });

  it('blocks an IP address in all its spellings, whatever kind of rule names it', () => {
    const p = policy({
      type: 'url_filter',
      rules: [
        { exact_match: ['198.51.100.7', '2001:db8:0::1'], action: 'block' },
        { regex_match: ['^192\\.0\\.2\\.', '^2001:db8:2::'], action: 'block' },
      ],
    });
    for (const host of [
      ...['198.51.100.7', '::ffff:198.51.100.7', '::ffff:c633:6407', '0:0:0:0:0:FFFF:198.51.100.7'],
      ...['192.0.2.4', '::ffff:192.0.2.4', '::ffff:c000:204'],
      ...['2001:db8::1', '2001:DB8:0:0:0:0:0:1', '2001:db8:2:0::1', '2001:0db8:2::1'],
      ...['64:ff9b::198.51.100.7', '64:ff9b::c000:204', '2002:c633:6407::1', '2002:c000:204:5::'],
    ]) {
      assert.equal(p.check(to(host))?.action, 'block', host);
    }
    for (const host of ['198.51.100.8', '64:ff9b::198.51.100.8', '2002:c633:6408::1', '::198.51.100.7']) {
      assert.equal(p.check(to(host)), null, host);
    }
  });

  it('lets nobody through because of the IPv4 address in an IPv6 address', () => {
    const p = policy({
      type: 'url_filter',
      default: 'block',
      rules: [
        { exact_match: ['198.51.100.7', '64:ff9b::192.0.2.4', '2002:c633:6409::1'], action: 'allow' },
        { exact_match: '192.0.2.4', action: 'block' },
      ],
    });
    assert.equal(p.check(to('::ffff:198.51.100.7')), null, 'the same address');
    assert.equal(p.check(to('2002:c633:6409::1')), null);
    for (const host of ['64:ff9b::198.51.100.7', '2002:c633:6407::1'])
      assert.equal(p.check(to(host))?.rule, 'default', host);
    assert.equal(p.check(to('64:ff9b::192.0.2.4'))?.rule, 'exact_match 192.0.2.4', 'no has the last word');
  });

  it('answers an evil expression on an evil host in linear time', () => {
    const p = policy({ type: 'url_filter', rules: [{ regex_match: '^(a+)+$', action: 'block' }] });
    // With backtracking this would take longer than the sun has.
    assert.equal(p.check(to(`${'a'.repeat(60)}.${'a'.repeat(60)}.${'a'.repeat(60)}.b`)), null);
    assert.equal(p.check(to(`${'a'.repeat(62)}`))?.action, 'block');
  });

  it('finds the one in 100,000 rules without looking at all', () => {
    const hosts = Array.from({ length: 100_000 }, (_, i) => `s${i}.example${i % 50}.com`);
    const p = policy({ type: 'url_filter', rules: [{ child_match: hosts, action: 'block' }] });
    assert.equal(p.check(to('a.b.c.s77777.example27.com'))?.rule, 'child_match s77777.example27.com');
    assert.equal(p.check(to('s77777.example28.com')), null);
  });
});

describe('ip_filter', () => {
  it('decides by the longest network, whatever its list', () => {
    const p = policy({
      type: 'ip_filter',
      allow: ['10.9.1.0/24', '2001:db8:1::/48'],
      deny: ['10.9.0.0/16', '2001:db8::/32', '10.9.1.7'],
      default: 'allow',
    });
    const from = (client: string) => p.check(testSession('a.example', { client }))?.rule ?? null;
    assert.equal(from('10.9.2.1'), 'deny 10.9.0.0/16');
    assert.equal(from('10.9.1.1'), null);
    assert.equal(from('10.9.1.7'), 'deny 10.9.1.7');
    assert.equal(from('192.0.2.1'), null);
    assert.equal(from('2001:db8:2::1'), 'deny 2001:db8::/32');
    assert.equal(from('2001:db8:1::1'), null);
    assert.equal(from('10.9.2.1'), 'deny 10.9.0.0/16', 'the second time too');
  });

  it('blocks what is in no list where the default says so, and what is no address at all', () => {
    const closed = policy({ type: 'ip_filter', allow: ['192.0.2.0/24'], default: 'block' });
    assert.equal(closed.check(testSession('a', { client: '192.0.3.1' }))?.rule, 'default');
    assert.equal(closed.check(testSession('a', { client: '192.0.2.255' })), null);
    const open = policy({ type: 'ip_filter', default: 'allow' });
    assert.equal(open.check(testSession('a', { client: 'what?' }))?.action, 'block');
  });
});

describe('time_restriction', () => {
  const week = ['mon', 'tue', 'wed', 'thu', 'fri'] as const;
  /** Is a session blocked at that time? */
  const at = (p: Policy, iso: string): boolean => {
    test.time = Date.parse(iso);
    return p.check(testSession('a.example')) !== null;
  };

  it('lets pass in office hours of the zone, in summer as in winter', () => {
    const p = policy({
      type: 'time_restriction',
      windows: [{ days: [...week], from: '08:00', to: '18:30' }],
      time_zone: 'Europe/Berlin',
      action: 'allow',
    });
    assert.equal(at(p, '2026-01-14T06:59:00Z'), true, '07:59 in winter');
    assert.equal(at(p, '2026-01-14T07:00:00Z'), false, '08:00 in winter');
    assert.equal(at(p, '2026-07-15T05:59:59Z'), true, '07:59 in summer');
    assert.equal(at(p, '2026-07-15T06:00:00Z'), false, '08:00 in summer');
    assert.equal(at(p, '2026-07-15T16:29:59Z'), false, '18:29');
    assert.equal(at(p, '2026-07-15T16:30:00Z'), true, '18:30');
    assert.equal(at(p, '2026-07-18T10:00:00Z'), true, 'Saturday');
    assert.match(p.check(testSession('a'))?.reason ?? '', /Sat 12:00 Europe\/Berlin/);
  });

  it('spans midnight, counted from the day it begins', () => {
    const p = policy({
      type: 'time_restriction',
      windows: [{ days: ['fri', 'sat'], from: '22:00', to: '06:00' }],
      time_zone: 'UTC',
      action: 'block',
    });
    assert.equal(at(p, '2026-07-17T21:59:00Z'), false, 'Friday evening');
    assert.equal(at(p, '2026-07-17T22:00:00Z'), true);
    assert.equal(at(p, '2026-07-18T05:59:00Z'), true, 'Saturday morning');
    assert.equal(at(p, '2026-07-18T06:00:00Z'), false);
    assert.equal(at(p, '2026-07-19T05:59:00Z'), true, 'Sunday morning, of Saturday');
    assert.equal(at(p, '2026-07-19T22:30:00Z'), false, 'Sunday night');
    assert.equal(at(p, '2026-07-17T05:00:00Z'), false, 'Friday morning, of Thursday');
    assert.equal(p.check(testSession('a')), null);
  });

  it('keeps to the wall clock on the days when it is turned', () => {
    const p = policy({
      type: 'time_restriction',
      windows: [{ days: ['sun'], from: '01:30', to: '03:30' }],
      time_zone: 'America/New_York',
      action: 'block',
    });
    // 2026-03-08: 01:59 EST is followed by 03:00 EDT.
    assert.equal(at(p, '2026-03-08T06:29:00Z'), false, '01:29 EST');
    assert.equal(at(p, '2026-03-08T06:59:00Z'), true, '01:59 EST');
    assert.equal(at(p, '2026-03-08T07:00:00Z'), true, '03:00 EDT');
    assert.equal(at(p, '2026-03-08T07:30:00Z'), false, '03:30 EDT');
    // 2026-11-01: 01:59 EDT is followed by 01:00 EST.
    assert.equal(at(p, '2026-11-01T05:45:00Z'), true, '01:45 EDT');
    assert.equal(at(p, '2026-11-01T06:15:00Z'), false, '01:15 EST');
    assert.equal(at(p, '2026-11-01T06:45:00Z'), true, '01:45 EST');
  });

  it('knows the whole day, and zones with odd offsets', () => {
    const p = policy({
      type: 'time_restriction',
      windows: [{ days: ['mon'], from: '00:00', to: '24:00' }],
      time_zone: 'Asia/Kathmandu',
      action: 'block',
    });
    assert.equal(at(p, '2026-07-12T18:14:59Z'), false, 'Sunday 23:59 at +05:45');
    assert.equal(at(p, '2026-07-12T18:15:00Z'), true, 'Monday 00:00');
    assert.equal(at(p, '2026-07-13T18:14:00Z'), true, 'Monday 23:59');
    assert.equal(at(p, '2026-07-13T18:15:00Z'), false, 'Tuesday 00:00');
  });
});
