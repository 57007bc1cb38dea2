import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { type PoolSettings, poolConfig, UpstreamPool } from '@arcus/gateway/upstream/pool.ts';
import { Wheel } from '@arcus/gateway/wheel.ts';
import { until } from '@arcus/testkit/until.ts';
import { MemoryStream } from './lib/memory.ts';

const wheel = new Wheel(5);
after(() => wheel.close());
const info = { escaper: 'out', form: 'origin', headers: '', peer: 'p' } as const;

function pool(settings: Partial<PoolSettings>) {
  const p = new UpstreamPool({ ...poolConfig.parse({}), ...settings }, wheel);
  const stream = new MemoryStream('192.0.2.1');
  const egress = p.egress(stream, 'o:80', info);
  return { p, stream, egress };
}

describe('connections to a site', () => {
  it('are kept and given out again, the one used last first', () => {
    const { p, egress } = pool({});
    const other = p.egress(new MemoryStream('192.0.2.2'), 'o:80', info);
    egress.release(true);
    other.release(true);
    assert.equal(p.size, 2);
    assert.equal(p.take('o:80'), other);
    assert.equal(p.take('o:80'), egress);
    assert.equal(p.take('o:80'), null);
    assert.equal(p.take('p:80'), null);
    p.close();
  });

  it('are not kept when they may not be used again', () => {
    const { p, stream, egress } = pool({});
    egress.release(false);
    assert.equal(p.size, 0);
    assert.ok(stream.destroyed);
  });

  it('are kept up to max_idle_per_origin of each', () => {
    const { p, egress } = pool({ max_idle_per_origin: 1 });
    const stream = new MemoryStream('192.0.2.2');
    const other = p.egress(stream, 'o:80', info);
    egress.release(true);
    other.release(true);
    assert.equal(p.size, 1);
    assert.ok(stream.destroyed);
    p.close();
  });

  it('are never kept when max_idle_per_origin is 0', () => {
    const { p, stream, egress } = pool({ max_idle_per_origin: 0 });
    egress.release(true);
    assert.equal(p.size, 0);
    assert.ok(stream.destroyed);
  });

  it('are closed after idle_timeout_ms', async () => {
    const { p, stream, egress } = pool({ idle_timeout_ms: 50 });
    egress.release(true);
    await until(() => stream.destroyed);
    assert.equal(p.size, 0);
  });

  it('are not used after max_age_ms', async () => {
    const { p, stream, egress } = pool({ max_age_ms: 1 });
    // Ages are counted in ticks of the wheel, whatever a clock says meanwhile.
    const born = wheel.tick;
    await until(() => wheel.tick > born);
    egress.release(true);
    assert.ok(stream.destroyed);
    assert.equal(p.size, 0);
  });

  it('are closed at max_age_ms, however long they may be idle', async () => {
    const { p, stream, egress } = pool({ max_age_ms: 50, idle_timeout_ms: 3_600_000 });
    egress.release(true);
    assert.equal(p.size, 1);
    await until(() => stream.destroyed);
    assert.equal(p.take('o:80'), null);
  });

  it('are kept up to max_idle of all: the one idle longest makes room', () => {
    const { p } = pool({ max_idle: 2 });
    const streams = ['a', 'b', 'c'].map((key) => {
      const stream = new MemoryStream('192.0.2.2');
      p.egress(stream, key, info).release(true);
      if (key === 'b') p.take('a')!.release(true);
      return stream;
    });
    assert.deepEqual(
      streams.map((s) => s.destroyed),
      [false, true, false],
    );
    assert.equal(p.size, 2);
    assert.equal(p.take('b'), null);
    p.close();
    assert.equal(p.size, 0);
  });

  it('are closed before the site does it, where its answers say when', async () => {
    const { p, stream, egress } = pool({});
    egress.release(true, 1050);
    assert.equal(p.size, 1);
    await until(() => stream.destroyed);
    assert.equal(p.size, 0);
    const short = new MemoryStream('192.0.2.2');
    p.egress(short, 'o:80', info).release(true, 1000);
    assert.ok(short.destroyed, 'too short to be of use');
  });

  it('carry max_uses requests', () => {
    const { p, stream, egress } = pool({ max_uses: 2 });
    egress.release(true);
    p.take('o:80')!.release(true);
    assert.equal(p.take('o:80'), null);
    assert.ok(stream.destroyed);
  });

  it('are dropped when the site says something that nobody asked for', () => {
    for (const bytes of ['HTTP/1.1 200 OK\r\n\r\n', '\r\n']) {
      const { p, stream, egress } = pool({});
      egress.release(true);
      stream.feed(bytes);
      assert.ok(stream.destroyed);
      assert.equal(p.take('o:80'), null);
    }
  });

  it('are dropped when the site ends or resets them', async () => {
    for (const how of ['fin', 'reset'] as const) {
      const { p, stream, egress } = pool({});
      egress.release(true);
      stream.feedEnd(how);
      await until(() => p.size === 0);
      assert.equal(p.take('o:80'), null);
    }
  });

  it('are closed with the pool, and not kept after it', () => {
    const { p, stream, egress } = pool({});
    const late = new MemoryStream('192.0.2.2');
    const other = p.egress(late, 'o:80', info);
    egress.release(true);
    p.close();
    assert.ok(stream.destroyed);
    other.release(true);
    assert.ok(late.destroyed);
  });
});
