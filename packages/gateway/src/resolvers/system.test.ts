import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../errors.ts';
import { testServices } from '../testing/services.ts';
import { SystemResolver, systemResolverOf } from './system.ts';

/** `timeout_ms` is real time, and no stall of the machine is as long. */
const settings = { positive_ttl_ms: 30_000, negative_ttl_ms: 5_000, max_entries: 3, timeout_ms: 60_000 };

/** A resolver over a look-up that a test controls, and a clock that stands still. */
function resolver(answers: Record<string, string[]>) {
  const state = { asked: [] as string[], time: 0, answers };
  const lookup = async (host: string) => {
    state.asked.push(host);
    await new Promise((resolve) => setImmediate(resolve));
    const found = state.answers[host];
    if (!found) throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
    return found;
  };
  return Object.assign(state, { dns: new SystemResolver('dns', () => state.time, settings, lookup) });
}

const unknown = (error: unknown) => error instanceof GatewayError && error.code === 'dns_failed';

describe('the system resolver', () => {
  it('chooses addresses by strategy, and lets the IP versions take turns', async () => {
    const a = ['2001:db8::1', '192.0.2.1', '192.0.2.2', '192.0.2.3', '2001:db8::2'];
    const { dns } = resolver({ a, four: ['192.0.2.9'] });
    assert.deepEqual(
      (await dns.resolve('a', 'Ipv4First')).join(' '),
      '192.0.2.1 2001:db8::1 192.0.2.2 2001:db8::2 192.0.2.3',
    );
    assert.deepEqual(
      (await dns.resolve('a', 'Ipv6First')).join(' '),
      '2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 192.0.2.3',
    );
    assert.deepEqual(await dns.resolve('a', 'Ipv4Only'), ['192.0.2.1', '192.0.2.2', '192.0.2.3']);
    assert.deepEqual(await dns.resolve('a', 'Ipv6Only'), ['2001:db8::1', '2001:db8::2']);
    assert.deepEqual(await dns.resolve('four', 'Ipv6First'), ['192.0.2.9']);
    await assert.rejects(dns.resolve('four', 'Ipv6Only'), unknown);
  });

  it('asks once for a name that many want at the same time, and again when the answer is old', async () => {
    const r = resolver({ a: ['192.0.2.1'] });
    await Promise.all(Array.from({ length: 50 }, () => r.dns.resolve('a', 'Ipv4First')));
    r.time = 29_999;
    await r.dns.resolve('a', 'Ipv4First');
    assert.equal(r.asked.length, 1);
    r.time = 30_000;
    r.answers.a = ['192.0.2.2'];
    assert.deepEqual(await r.dns.resolve('a', 'Ipv4First'), ['192.0.2.2']);
    assert.equal(r.asked.length, 2);
  });

  it('remembers for a short time that a name is unknown', async () => {
    const r = resolver({});
    await assert.rejects(r.dns.resolve('a', 'Ipv4First'), unknown);
    await assert.rejects(r.dns.resolve('a', 'Ipv4First'), unknown);
    assert.equal(r.asked.length, 1);
    r.time = 5_000;
    r.answers.a = ['192.0.2.1'];
    assert.deepEqual(await r.dns.resolve('a', 'Ipv4First'), ['192.0.2.1']);
  });

  it('keeps no more names than it may', async () => {
    const r = resolver({ a: ['192.0.2.1'], b: ['192.0.2.1'], c: ['192.0.2.1'], d: ['192.0.2.1'] });
    for (const name of ['a', 'b', 'c', 'd']) await r.dns.resolve(name, 'Ipv4First');
    await r.dns.resolve('d', 'Ipv4First');
    assert.equal(r.asked.length, 4);
    await r.dns.resolve('a', 'Ipv4First');
    assert.equal(r.asked.length, 5, 'the oldest was forgotten');
  });

  it('keeps no more of an answer than anybody would try', async () => {
    const many = Array.from({ length: 1000 }, (_, i) => [`192.0.2.${i % 256}`, `2001:db8::${i.toString(16)}`]).flat();
    const { dns } = resolver({ a: many });
    const kept = await dns.resolve('a', 'Ipv4First');
    assert.deepEqual(kept, many.slice(0, 32));
    assert.equal((await dns.resolve('a', 'Ipv6Only')).length, 16);
  });

  it('does not wait for ever', async () => {
    const never = () => new Promise<string[]>(() => {});
    const dns = new SystemResolver('dns', () => 0, { ...settings, timeout_ms: 20 }, never);
    await assert.rejects(dns.resolve('a', 'Ipv4First'), unknown);
  });

  it('shares no answer with another resolver', async () => {
    const [one, two] = [resolver({ a: ['10.0.0.1'] }), resolver({ a: ['10.0.0.2'] })];
    await one.dns.resolve('a', 'Ipv4First');
    assert.deepEqual(await two.dns.resolve('a', 'Ipv4First'), ['10.0.0.2']);
  });

  it('is one for all escapers of a tenant that name none, and for no other tenant', (t) => {
    const { services, close } = testServices();
    t.after(close);
    const resolver = systemResolverOf('acme', services);
    assert.equal(systemResolverOf('acme', services), resolver);
    assert.notEqual(systemResolverOf('other', services), resolver);
  });

  it('knows localhost from the machine itself', async () => {
    const dns = new SystemResolver('dns', Date.now);
    assert.ok((await dns.resolve('localhost', 'Ipv4First')).length > 0);
  });
});
