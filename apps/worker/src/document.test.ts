import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import v8 from 'node:v8';
import vm from 'node:vm';
import type { Graph } from '@arcus/gateway/compile.ts';
import { testServices, testSession } from '@arcus/gateway/testing/services.ts';
import { until } from '@arcus/testkit/until.ts';
import { compileDocument } from './document.ts';

const { services, close } = testServices();
after(close);
const deps = { services, unseal: (value: string) => value };

v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc') as () => void;

const rules = (mark: number) => [
  ...Array.from({ length: 20 }, (_, i) => ({ child_match: `site-${i}.example`, action: 'block', id: `rule-${i}` })),
  { exact_match: 'mark.example', action: 'redirect', redirect_url: `http://m${mark}.example/` },
];
const document = (config: object, tenant = 'acme') => ({
  tenant: { tenant_id: tenant, tenant_name: tenant, status: 'active', resource_limits: {} },
  config: config as { policies?: any[] },
});
const policy = (mark: number, more: object = {}) => ({
  name: 'sites',
  type: 'url_filter',
  rules: rules(mark),
  ...more,
});
const decided = (graph: Graph, host: string) => {
  const verdict = graph.policies[0]?.check(testSession(host));
  return verdict ? [verdict.action, verdict.rule, verdict.location] : verdict;
};

describe('a document that was compiled', () => {
  it('holds rules as their table alone, from which they compile again: for the next release and for other tenants', async () => {
    const stored = document({ policies: [policy(1)] });
    const one = await compileDocument(stored, 'acme', 1, deps, undefined);
    const kept = stored.config.policies![0];
    assert.equal(kept.name, 'sites');
    assert.equal(Array.isArray(kept.rules), false);
    assert.equal(kept, one.config.policies[0]);

    const next = document({ policies: [kept], resolvers: [{ name: 'dns', type: 'system' }] });
    const two = await compileDocument(next, 'acme', 2, deps, one);
    assert.equal(two.policies[0], one.policies[0], 'what did not change is not built again');
    const other = await compileDocument(document({ policies: [kept] }, 'other'), 'other', 1, deps, undefined);
    assert.notEqual(other.policies[0], one.policies[0]);
    for (const graph of [one, two, other]) {
      assert.deepEqual(decided(graph, 'a.site-7.example'), ['block', 'rule-7', '']);
      assert.deepEqual(decided(graph, 'mark.example'), ['redirect', 'exact_match mark.example', 'http://m1.example/']);
      assert.equal(decided(graph, 'site-20.example'), null);
      graph.retire();
    }
  });

  it('gives way to what the next release says', async () => {
    const one = await compileDocument(document({ policies: [policy(1)] }), 'acme', 1, deps, undefined);
    const two = await compileDocument(document({ policies: [policy(2)] }), 'acme', 2, deps, one);
    assert.equal(decided(two, 'mark.example')?.[2], 'http://m2.example/');
    const long = Array.from({ length: 700 }, (_, i) => ({ exact_match: `l${i}.example`, action: 'block' }));
    const three = await compileDocument(document({ policies: [policy(3, { rules: long })] }), 'acme', 3, deps, two);
    assert.equal(decided(three, 'l699.example')?.[0], 'block');
    const four = await compileDocument(document({ policies: [policy(4, { enabled: false })] }), 'acme', 4, deps, three);
    assert.equal(four.policies.length, 0);
    const five = await compileDocument(document({ policies: [policy(5)] }), 'acme', 5, deps, four);
    assert.equal(decided(five, 'mark.example')?.[2], 'http://m5.example/');
    for (const graph of [one, two, three, four, five]) graph.retire();
  });
});

it('what built a graph, and the graphs before it, are let go', async () => {
  const release = (n: number) =>
    document({
      servers: [
        { name: 'web', type: 'http_proxy', listen: { address: '127.0.0.1:8080' }, escaper: 'out', user_group: 'staff' },
      ],
      escapers: [{ name: 'out', type: 'direct_fixed', connect_timeout_ms: 1000 + n }],
      user_groups: [{ name: 'staff', type: 'basic', auth_cache_seconds: 60 + n, static_users: [{ name: `u${n}` }] }],
      policies: [policy(n)],
    });
  const gone: WeakRef<object>[] = [];
  let graph: Graph | undefined;
  for (let n = 0; n < 5; n++) {
    const next = await compileDocument(release(n), 'acme', n + 1, deps, graph);
    if (graph) {
      gone.push(new WeakRef(graph), new WeakRef(graph.user_groups.get('staff')!), new WeakRef(graph.policies[0]!));
      graph.retire();
    }
    graph = next;
  }
  const kept = await until(
    () => {
      gc();
      return gone.filter((ref) => ref.deref() !== undefined).length === 0;
    },
    { deadline: 60_000, what: 'the graphs of earlier releases are collected' },
  );
  assert.ok(kept);
  assert.equal(graph?.version, 5);
  graph?.retire();
});
