import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { check, examine, listenConflict } from './check.ts';
import { compile, compileSliced } from './compile.ts';
import { type ConfigInput, parseConfig } from './config.ts';
import { FaultError } from './fault.ts';
import type { LiveObject } from './kind.ts';
import { testGraph } from './testing/graph.ts';
import { testServices, testSession } from './testing/services.ts';

const { services, close } = testServices();
after(close);

const base = (more: Partial<ConfigInput> = {}): ConfigInput => ({
  servers: [{ name: 'web', type: 'http_proxy', listen: { address: '127.0.0.1:8080' }, escaper: 'router' }],
  escapers: [
    {
      name: 'router',
      type: 'route_upstream',
      rules: [{ exact_match: 'a.example', next: 'lab' }],
      fallback_next: 'out',
    },
    { name: 'out', type: 'direct_fixed' },
    { name: 'lab', type: 'direct_fixed', resolver: 'dns' },
  ],
  resolvers: [{ name: 'dns', type: 'system' }],
  policies: [{ name: 'sites', type: 'url_filter', rules: [{ exact_match: 'bad.example', action: 'block' }] }],
  ...more,
});

/** Counts calls of `close` of an object of a graph. */
function closings(object: LiveObject): { readonly count: number } {
  const counter = { count: 0 };
  const original = object.close?.bind(object);
  object.close = () => {
    counter.count++;
    original?.();
  };
  return counter;
}

describe('a new release of a tenant', () => {
  it('takes over what did not change, warm as it is, and makes servers anew', () => {
    const one = testGraph(base(), services);
    const two = testGraph(base(), services, { version: 2, previous: one });
    for (const name of ['router', 'out', 'lab']) assert.equal(two.escapers.get(name), one.escapers.get(name));
    assert.equal(two.policies[0], one.policies[0]);
    assert.notEqual(two.servers.get('web'), one.servers.get('web'));
    assert.equal(two.servers.get('web')?.graph, two);
    assert.equal(one.servers.get('web')?.graph, one);
    one.retire();
    two.retire();
  });

  it('rebuilds what changed and all that leads there, and nothing else', () => {
    const one = testGraph(base(), services);
    const changed = base({ resolvers: [{ name: 'dns', type: 'system', positive_ttl_ms: 1 }] });
    const two = testGraph(changed, services, { version: 2, previous: one });
    assert.notEqual(two.resolvers.get('dns'), one.resolvers.get('dns'));
    assert.notEqual(two.escapers.get('lab'), one.escapers.get('lab'));
    assert.notEqual(two.escapers.get('router'), one.escapers.get('router'));
    assert.equal(two.escapers.get('out'), one.escapers.get('out'));
    assert.equal(two.policies[0], one.policies[0]);
    one.retire();
    two.retire();
  });

  it('closes what it left out, and only when the last session of the old graph has ended', () => {
    const one = testGraph(base(), services);
    const lab = closings(one.escapers.get('lab')!);
    const out = closings(one.escapers.get('out')!);
    one.retain();
    const two = testGraph({ escapers: [{ name: 'out', type: 'direct_fixed' }] }, services, {
      version: 2,
      previous: one,
    });
    one.retire();
    assert.equal(one.sessions, 1);
    assert.equal(lab.count, 0, 'a session may still use it');
    one.release();
    assert.deepEqual([lab.count, out.count], [1, 0], 'the new graph still holds the other one');
    two.retire();
    two.retire();
    assert.deepEqual([lab.count, out.count], [1, 1]);
  });

  it('that is never served gives back what it shared', () => {
    const one = testGraph(base(), services);
    const out = closings(one.escapers.get('out')!);
    const two = testGraph(base(), services, { version: 2, previous: one });
    two.retire();
    assert.equal(out.count, 0);
    one.retire();
    assert.equal(out.count, 1);
  });

  it('that fails half-way leaves the old graph as it was', () => {
    const one = testGraph(base(), services);
    const out = closings(one.escapers.get('out')!);
    const broken = base();
    broken.escapers!.push({
      name: 'parent',
      type: 'proxy_http',
      proxy_addr: 'proxy.example:3128',
      proxy_username: 'u',
      proxy_password: 'sealed:v1:k9:AAAA',
    });
    const unseal = (_: string, place: string) => {
      throw new Error(`no key for ${place}`);
    };
    assert.throws(
      () => testGraph(broken, services, { version: 2, previous: one, unseal }),
      (error) => {
        assert.ok(error instanceof FaultError);
        assert.deepEqual(
          error.faults.map((f) => [f.pointer, f.code]),
          [['/escapers/3', 'build_failed']],
        );
        assert.match(error.message, /test\/escapers\/parent\/proxy_password/, 'the place names the tenant');
        return true;
      },
    );
    assert.equal(out.count, 0);
    one.retire();
    assert.equal(out.count, 1);
  });

  it('does not take over from a graph that is gone', () => {
    const one = testGraph(base(), services);
    one.retire();
    const two = testGraph(base(), services, { version: 2, previous: one });
    assert.notEqual(two.escapers.get('out'), one.escapers.get('out'));
    two.retire();
  });

  it('decides by its own policies while sessions of the old one keep theirs', () => {
    const one = testGraph(base(), services);
    const two = testGraph(base({ policies: [] }), services, { version: 2, previous: one });
    const session = testSession('bad.example');
    assert.equal(one.policies[0]?.check(session)?.action, 'block');
    assert.equal(two.policies.length, 0);
    one.retire();
    two.retire();
  });
});

describe('a graph', () => {
  it('of an inactive tenant has no servers; of a suspended one it has', () => {
    const inactive = testGraph(base(), services, { status: 'inactive' });
    const suspended = testGraph(base(), services, { status: 'suspended' });
    assert.equal(inactive.servers.size, 0);
    assert.equal(suspended.servers.size, 1);
    assert.equal(suspended.servers.get('web')?.graph.status, 'suspended');
    inactive.retire();
    suspended.retire();
  });

  it('has its policies by priority, then name', () => {
    const policy = (name: string, priority: number) => ({ name, type: 'url_filter' as const, priority });
    const graph = testGraph({ policies: [policy('z', 5), policy('b', 100), policy('a', 100)] }, services);
    assert.deepEqual(
      graph.policies.map((p) => p.name),
      ['z', 'a', 'b'],
    );
    graph.retire();
  });

  it('of 50,000 escapers in a chain compiles', () => {
    const n = 50_000;
    const chain = Array.from({ length: n }, (_, i) => ({
      name: `r${i}`,
      type: 'route_upstream' as const,
      fallback_next: i + 1 < n ? `r${i + 1}` : 'end',
    }));
    const graph = testGraph({ escapers: [...chain, { name: 'end', type: 'dummy_deny' }] }, services);
    assert.equal(graph.escapers.size, n + 1);
    graph.retire();
  });
});

describe('compiling in slices', () => {
  it('lets others run in between and gives the same graph', async () => {
    const rules = Array.from({ length: 100_000 }, (_, i) => ({
      exact_match: `s${i}.example`,
      action: 'block' as const,
    }));
    const { config } = parseConfig(base({ policies: [{ name: 'long', type: 'url_filter', rules }] }));
    const info = { tenant_id: 'test', tenant_name: '', status: 'active' as const, resource_limits: {} };
    const deps = { services, unseal: (v: string) => v };
    let turns = 0;
    let done = false;
    const turn = () => {
      turns++;
      if (!done) setImmediate(turn);
    };
    setImmediate(turn);
    const graph = await compileSliced(info, 1, config!, deps);
    done = true;
    assert.ok(turns > 3, `the event loop turned ${turns} times`);
    assert.equal(graph.policies[0]?.check(testSession('s99999.example'))?.action, 'block');
    const whole = compile(info, 1, config!, deps);
    assert.deepEqual([...graph.escapers.keys()], [...whole.escapers.keys()]);
    graph.retire();
    whole.retire();
  });

  it('gives the same faults', async () => {
    const { config } = parseConfig(base({ resolvers: [] }));
    const info = { tenant_id: 'test', tenant_name: '', status: 'active' as const, resource_limits: {} };
    const deps = { services, unseal: (v: string) => v };
    await assert.rejects(compileSliced(info, 1, config!, deps), (error) => {
      assert.ok(error instanceof FaultError);
      assert.deepEqual(error.faults, check(config!, 'test'));
      return error.faults.length === 1;
    });
  });
});

describe('a password in clear', () => {
  const { config } = parseConfig({
    user_groups: [{ name: 'g', type: 'basic', static_users: [{ name: 'alice', password: 'hunter2' }] }],
  });
  const info = { tenant_id: 'test', tenant_name: '', status: 'active' as const, resource_limits: {} };

  it('is refused in what is stored, and never repeated', () => {
    const faults = check(config!, 'test', { stored: true });
    assert.deepEqual(
      faults.map((f) => [f.pointer, f.code]),
      [['/user_groups/0/static_users/0/password', 'clear_secret']],
    );
    assert.doesNotMatch(JSON.stringify(faults), /hunter2/);
    assert.throws(() => compile(info, 1, config!, { services, unseal: (v) => v }), FaultError);
  });

  it('is fine in a document that a person writes', () => {
    assert.deepEqual(check(config!, 'test', { stored: false }), []);
    const graph = compile(info, 1, config!, { services, unseal: (v) => v, stored: false });
    assert.equal(graph.user_groups.get('g')?.authenticate(btoa('alice:')) instanceof Promise, true);
    graph.retire();
  });
});

describe('listen addresses', () => {
  const at = (host: string, port = 80) => ({ host, port });
  it('meet where the kernel would refuse to bind both', () => {
    assert.ok(listenConflict(at('127.0.0.1'), at('127.0.0.1')));
    assert.ok(listenConflict(at('0.0.0.0'), at('127.0.0.1')));
    assert.ok(listenConflict(at('::'), at('127.0.0.1')));
    assert.ok(listenConflict(at('::'), at('::1')));
    assert.ok(listenConflict(at('2001:db8::1'), at('2001:DB8:0::1')));
    assert.ok(!listenConflict(at('127.0.0.1'), at('127.0.0.2')));
    assert.ok(!listenConflict(at('127.0.0.1'), at('127.0.0.1', 81)));
    assert.ok(!listenConflict(at('0.0.0.0'), at('::1')));
  });
});

it('says all that is wrong with an object, also what only a look into a text shows', () => {
  const { faults } = examine(
    {
      escapers: [
        { name: 'a', type: 'direct_fixed', egress_allow: [{ network: 'x' }], bind_ip: ['1.2.3.4', 'yy'], nonsense: 1 },
        { name: 'b', type: 'proxy_http', proxy_addr: 'no port', connect_timeout_ms: 1 },
      ],
      policies: [
        {
          ...{ name: 'p', type: 'time_restriction', action: 'allow', time_zone: 'Mars/Olympus' },
          windows: [{ days: ['mon'], from: '8', to: '24:00' }],
        },
        { name: 'q', type: 'ip_filter', allow: ['10.0.0.0/33'], default: 'maybe' },
      ],
    },
    'acme',
  );
  assert.deepEqual(faults.map(({ pointer, code }) => `${pointer} ${code}`).sort(), [
    '/escapers/0/bind_ip/1 bad_ip',
    '/escapers/0/egress_allow/0/network bad_cidr',
    '/escapers/0/nonsense unknown_key',
    '/escapers/1/connect_timeout_ms too_small',
    '/escapers/1/proxy_addr bad_address',
    '/policies/0/time_zone bad_time_zone',
    '/policies/0/windows/0/from invalid_format',
    '/policies/1/allow/0 bad_cidr',
    '/policies/1/default invalid_value',
  ]);
});
