import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from './errors.ts';
import { HashLimiter } from './hash_limiter.ts';

const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A limiter whose jobs run until they are told to end. */
function limiter(width: number) {
  const limits = new HashLimiter(width);
  const running: { tenant: string; end(): void }[] = [];
  const started: string[] = [];
  const all: Promise<void>[] = [];
  return {
    started,
    running: () => running.map(({ tenant }) => tenant).sort(),
    want(tenant: string, { times = 1, part = {} as object, name = tenant } = {}) {
      const job = () =>
        new Promise<void>((resolve) => {
          started.push(name);
          running.push({ tenant, end: resolve });
        });
      for (let i = 0; i < times; i++) all.push(limits.run({ tenant, part }, job));
    },
    async end(tenant?: string) {
      const at = tenant === undefined ? 0 : running.findIndex((job) => job.tenant === tenant);
      running.splice(at, 1)[0]!.end();
      await settle();
    },
    async finish() {
      while (running.length > 0) await this.end();
      await Promise.all(all);
    },
  };
}

describe('turns for slow hashes', () => {
  it('of which no more run at once than may', async () => {
    const l = limiter(2);
    for (const tenant of ['a', 'b', 'c', 'd']) l.want(tenant, { times: 3 });
    while (l.started.length < 12) {
      assert.equal(l.running().length, 2);
      await l.end();
    }
    await l.finish();
    assert.deepEqual(l.running(), []);
  });

  it('go to the first of another tenant before all that one tenant has waiting, be there one slot only', async () => {
    const l = limiter(1);
    l.want('flood', { times: 50 });
    l.want('victim');
    await l.end();
    assert.deepEqual(l.started, ['flood', 'victim']);
    await l.finish();
    assert.equal(l.started.length, 51);
  });

  it('go to another tenant also when the waiting of one are in many groups', async () => {
    const l = limiter(1);
    for (let i = 0; i < 50; i++) l.want('flood', { part: {} });
    l.want('victim');
    await l.end();
    assert.deepEqual(l.started, ['flood', 'victim']);
    await l.finish();
  });

  it('never leave all slots to one tenant while another one waits, however long its hashes run', async () => {
    const l = limiter(2);
    l.want('slow', { times: 50 });
    l.want('quick', { times: 10 });
    assert.deepEqual(l.running(), ['slow', 'slow'], 'nobody else was there');
    await l.end();
    for (let i = 0; i < 9; i++) {
      assert.deepEqual(l.running(), ['quick', 'slow']);
      await l.end('quick');
    }
    assert.deepEqual(l.running(), ['quick', 'slow']);
    await l.end('quick');
    assert.deepEqual(l.running(), ['slow', 'slow'], 'no slot is kept for nobody');
    await l.finish();
  });

  it('go around among tenants, and within a tenant among its groups', async () => {
    const l = limiter(1);
    l.want('x');
    l.want('a', { part: {}, times: 3, name: 'a1' });
    l.want('a', { part: {}, times: 1, name: 'a2' });
    for (const tenant of ['b', 'c']) l.want(tenant, { times: 2 });
    await l.finish();
    assert.equal(l.started.join(' '), 'x a1 b c a2 b c a1 a1');
  });

  it('are refused to a group of which enough wait, and to no other one', async () => {
    const limits = new HashLimiter(1);
    const part = {};
    const gate = Promise.withResolvers<void>();
    const wait = (tenant: string, group = {}) => limits.run({ tenant, part: group, most: 3 }, () => gate.promise);
    const accepted = [wait('a', part), wait('a', part), wait('a', part), wait('a', part), wait('a'), wait('b')];
    await assert.rejects(wait('a', part), (error) => error instanceof GatewayError && error.code === 'unavailable');
    gate.resolve();
    await Promise.all(accepted);
  });

  it('come also after one that failed', async () => {
    const limits = new HashLimiter(1);
    const failing = limits.run({ tenant: 'a', part: {} }, () => Promise.reject(new Error('no')));
    const next = limits.run({ tenant: 'a', part: {} }, async () => 'done');
    await assert.rejects(failing, /no/);
    assert.equal(await next, 'done');
  });
});
