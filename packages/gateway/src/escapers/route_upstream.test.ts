import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { z } from 'zod';
import { examine } from '../check.ts';
import type { Graph } from '../compile.ts';
import type { EscaperConfig } from '../config.ts';
import { GatewayError } from '../errors.ts';
import { testGraph } from '../testing/graph.ts';
import { testServices, testSession } from '../testing/services.ts';

const { services, close } = testServices();
const graphs: Graph[] = [];
after(() => {
  for (const graph of graphs) graph.retire();
  close();
});

type RouterInput = Extract<z.input<typeof EscaperConfig>, { type: 'route_upstream' }>;

/** The name of the escaper that a router sends a host to. */
function router(rules: NonNullable<RouterInput['rules']>): (host: string, tenant?: string) => Promise<string> {
  const nexts = [...new Set(rules.map((r) => r.next)), 'rest'];
  const graph = testGraph(
    {
      escapers: [
        { name: 'router', type: 'route_upstream', rules, fallback_next: 'rest' },
        ...nexts.map((name) => ({ name, type: 'dummy_deny' as const })),
      ],
    },
    services,
  );
  graphs.push(graph);
  return async (host, tenant = 'test') => {
    const session = testSession(host, { tenant });
    const error = await Promise.resolve(graph.escapers.get('router')!.connect(session.target, session, 'tunnel')).catch(
      (e) => e,
    );
    assert.ok(error instanceof GatewayError);
    return /escaper (\S+) lets/.exec(error.detail)![1]!;
  };
}

describe('route_upstream', () => {
  it('sends an IP address the same way in all its spellings', async () => {
    const to = router([
      { subnet_match: '198.51.100.0/24', next: 'net' },
      { regex_match: '^192\\.0\\.2\\.', next: 'regex' },
      { exact_match: '64:ff9b::198.51.100.9', next: 'nat64' },
    ]);
    for (const host of ['198.51.100.7', '::ffff:198.51.100.7', '::ffff:c633:6407', '64:ff9b::198.51.100.7'])
      assert.equal(await to(host), 'net', host);
    for (const host of ['192.0.2.4', '::ffff:c000:204', '64:ff9b::192.0.2.4'])
      assert.equal(await to(host), 'regex', host);
    assert.equal(await to('64:ff9b::c633:6409'), 'nat64', 'its own rule goes first');
    assert.equal(await to('2002:c633:6407::1'), 'rest', 'a 6to4 address is another host than its router');
  });

  it('answers an evil expression on an evil host in linear time', async () => {
    const to = router([{ regex_match: '^(a+)+$', next: 'evil' }]);
    // With backtracking this would take longer than the sun has.
    assert.equal(await to(`${'a'.repeat(60)}.${'a'.repeat(60)}.${'a'.repeat(60)}.b`), 'rest');
    assert.equal(await to('a'.repeat(62)), 'evil');
  });

  it('prefers exact names, then the longest domain, then expressions in order, then the fallback', async () => {
    const to = router([
      { regex_match: 'shop', next: 'regex1' },
      { regex_match: '^shop', next: 'regex2' },
      { child_match: 'example.com', next: 'short' },
      { child_match: '*.deep.example.com', next: 'long' },
      { exact_match: ['www.deep.example.com', 'Shop.Example.ORG.'], next: 'exact' },
    ]);
    assert.equal(await to('www.deep.example.com'), 'exact');
    assert.equal(await to('shop.example.org'), 'exact');
    assert.equal(await to('a.b.deep.example.com'), 'long');
    assert.equal(await to('deep.example.com'), 'long');
    assert.equal(await to('shop.example.com'), 'short', 'a domain goes before an expression');
    assert.equal(await to('example.com'), 'short');
    assert.equal(await to('shop.other'), 'regex1');
    assert.equal(await to('SHOP.other'.toLowerCase()), 'regex1');
    assert.equal(await to('other'), 'rest');
  });

  it('compares domains label by label, never as plain text', async () => {
    const to = router([{ child_match: 't.example', next: 'yes' }]);
    assert.equal(await to('t.example'), 'yes');
    assert.equal(await to('x.t.example'), 'yes');
    assert.equal(await to('test.example'), 'rest');
    assert.equal(await to('xt.example'), 'rest');
    assert.equal(await to('example'), 'rest');
  });

  it('prefers an exact address, then the longest subnet, and only for addresses', async () => {
    const to = router([
      { subnet_match: ['198.51.0.0/16', '2001:db8::/32'], next: 'wide' },
      { subnet_match: ['198.51.100.0/24', '2001:db8:1::/48'], next: 'narrow' },
      { exact_match: ['198.51.100.7', '2001:DB8:1:0::7'], next: 'exact' },
      { subnet_match: '0.0.0.0/0', next: 'any4' },
    ]);
    assert.equal(await to('198.51.100.7'), 'exact');
    assert.equal(await to('198.51.100.8'), 'narrow');
    assert.equal(await to('198.51.1.1'), 'wide');
    assert.equal(await to('203.0.113.1'), 'any4');
    assert.equal(await to('2001:db8:1::7'), 'exact');
    assert.equal(await to('2001:db8:1:0:0::7'), 'exact', 'another spelling of the same address');
    assert.equal(await to('2001:db8:1::8'), 'narrow');
    assert.equal(await to('2001:db8:2::8'), 'wide');
    assert.equal(await to('2001:db9::1'), 'rest');
    assert.equal(await to('198.51.100.8.example'), 'rest');
  });

  it('looks at rules of the tenant before all others', async () => {
    const to = router([
      { exact_match: 'a.example', next: 'global' },
      { child_match: 'example', next: 'own', tenant_specific: 'test' },
    ]);
    assert.equal(await to('a.example'), 'own', 'even though the other rule is exact');
    assert.equal(await to('a.example', 'other'), 'global');
    assert.equal(await to('b.example', 'other'), 'rest');
  });

  it('refuses a rule that could never apply: one for another tenant than the one whose config it is in', () => {
    for (const tenant of ['acme', '_global']) {
      const faultsWith = (tenant_specific: string) =>
        examine(
          {
            escapers: [
              {
                name: 'router',
                type: 'route_upstream',
                rules: [
                  { exact_match: 'a.example', next: 'rest' },
                  { exact_match: 'b.example', next: 'rest', tenant_specific },
                ],
                fallback_next: 'rest',
              },
              { name: 'rest', type: 'dummy_deny' },
            ],
          },
          tenant,
        ).faults.map((fault) => [fault.pointer, fault.code]);
      assert.deepEqual(faultsWith(tenant), []);
      assert.deepEqual(faultsWith('other'), [['/escapers/0/rules/1/tenant_specific', 'foreign_tenant']]);
    }
  });

  it('finds its way with 100,000 rules', async () => {
    const to = router([
      ...Array.from({ length: 100_000 }, (_, i) => ({ child_match: `site${i}.example`, next: `n${i % 7}` })),
    ]);
    assert.equal(await to('www.site99999.example'), `n${99_999 % 7}`);
    assert.equal(await to('www.site100000.example'), 'rest');
  });
});
