/** What a rollout does by itself: steps, numbers, refusals. On both databases; workers are played. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RolloutEngine } from '@arcus/api/features/rollouts/engine.ts';
import { until } from '@arcus/testkit/until.ts';
import type { Redis } from 'ioredis';
import { fleet } from './played-fleet.ts';
import { ended, four, head, held, onBoth, start, state, url } from './rollout-setting.ts';

onBoth('rollouts', ({ open, traffic, pass, watched, baked }) => {
  test('goes to the labelled workers first, then to all, and becomes the stable release', async (t) => {
    const api = await open(t);
    const { runs } = await fleet(t, api.store, four);
    await held(api);
    const made = await start(api, { labels: { canary: 'yes' }, steps: [100], bake_seconds: 600 });
    assert.deepEqual(
      made.plan.map((step) => [step.count, step.of]),
      [
        [1, 4],
        [4, 4],
      ],
    );
    await until(() => JSON.stringify(runs()) === '{"w-a":2,"w-b":1,"w-c":1,"w-d":1}');
    const early = await head(api);
    assert.deepEqual([early.stable.version, early.rollout?.version], [1, 2]);
    await baked(api, made.id, 1);
    await baked(api, made.id, 2);
    const done = await ended(api, made.id, 'promoted');
    const kinds = done.events.map((event: { kind: string }) => event.kind);
    assert.deepEqual(kinds, ['started', 'baking', 'baked', 'baking', 'promoted']);
    assert.match(done.events[2].text, /no request went through it, so nothing is known/);
    assert.match(done.events[3].text, /4 of 4 workers run release 2/);
    await until(async () => (await head(api)).stable.version === 2);
    assert.equal((await head(api)).rollout, undefined);
    await until(() => JSON.stringify(runs()) === '{"w-a":2,"w-b":2,"w-c":2,"w-d":2}');
    const release = await until(async () => {
      const answer = await api.call('GET', '/tenants/acme/releases/2');
      return answer.body.state === 'published' ? answer : null;
    });
    assert.deepEqual(
      release.body.rollouts.map((one: { id: string; state: string }) => [one.id, one.state]),
      [[made.id, 'promoted']],
    );
  });

  test('is halted and taken back by itself when a worker refuses', async (t) => {
    const api = await open(t);
    const { workers, runs } = await fleet(t, api.store, four);
    await held(api);
    workers.get('w-a')!.refuses = true;
    const before = (await head(api)).seq;
    const made = await start(api, { labels: { canary: 'yes' }, steps: [100], bake_seconds: 60 });
    const now = await ended(api, made.id, 'halted');
    assert.match(now.reason, /w-a refused release 2: \/config\/servers\/0\/listen: in use/);
    await until(async () => (await head(api)).rollout === undefined);
    assert.equal((await head(api)).stable.version, 1);
    assert.ok((await head(api)).seq > before);
    await until(() => Object.values(runs()).every((version) => version === 1));
    // What was taken back is still held: nothing publishes it by accident.
    assert.equal((await api.call('POST', '/tenants/acme/reload')).status, 409);
    const back = await api.call('POST', '/tenants/acme/rollback', { body: { version: 1 } });
    assert.equal(back.headers['arcus-release-state'], 'published', back.text);
    const audit = await api.call('GET', '/tenants/acme/audit');
    const found = audit.body.items.map((event: { action: string; actor: string }) => `${event.action} ${event.actor}`);
    assert.ok(found.includes('rollout.halted arcus'), String(found));
  });

  test('is halted when more requests fail than on the other workers, or when they take longer', async (t) => {
    for (const [halt_on, bad, pattern] of [
      [{ error_rate: 0.05 }, ['w-a', 100, 12, 10], /12\.0 % of 100 requests failed, 2\.0 % on the stable release/],
      [{ p99_ms: 100 }, ['w-a', 100, 0, 900], /latency is \d+ ms, \d+ ms on the stable release/],
    ] as const) {
      const api = await open(t);
      await fleet(t, api.store, four);
      await held(api);
      await traffic('w-a', 1000, 900, 9000);
      const made = await start(api, { labels: { canary: 'yes' }, bake_seconds: 600, halt_on });
      await watched(api, made.id, 1);
      await traffic('w-b', 200, 4, 10);
      await traffic('w-c', 100, 2, 10);
      await traffic('w-a', 19, 0, 10);
      assert.equal((await state(api, made.id)).state, 'running', 'too few to say anything');
      await traffic(...([bad[0], bad[1] - 19, bad[2], bad[3]] as const));
      const now = await ended(api, made.id, 'halted');
      assert.match(now.reason, pattern);
      assert.equal(now.events.at(-1).details.stable.requests, 300);
    }
  });

  test('goes on when the numbers are as good as those of the others, whatever was before', async (t) => {
    const api = await open(t);
    await fleet(t, api.store, four);
    await held(api);
    await traffic('w-a', 1000, 900, 9000);
    const made = await start(api, {
      ...{ labels: { canary: 'yes' }, bake_seconds: 600, on_no_traffic: 'continue' },
      halt_on: { error_rate: 0.05, p99_ms: 100 },
    });
    await watched(api, made.id, 1);
    await traffic('w-a', 50, 1, 20);
    await traffic('w-b', 50, 1, 20);
    pass(600_000);
    const now = await ended(api, made.id, 'promoted');
    assert.match(
      now.reason,
      /new release: 50 requests, 2\.0 % failed, 99 % within \d+ ms; stable release: 50 requests/,
    );
  });

  test('pauses when a signal is asked for and no request came; a hand may go on, watch again, or take it back', async (t) => {
    const api = await open(t);
    await fleet(t, api.store, four);
    await held(api);
    const halt_on = { error_rate: 0.05 };
    const made = await start(api, { labels: { canary: 'yes' }, steps: [100], bake_seconds: 600, halt_on });
    await baked(api, made.id, 1);
    const now = await ended(api, made.id, 'paused');
    assert.match(now.reason, /no request went through release 2 in step 1 \(canary=yes\): nothing can be said of it/);
    assert.equal((await api.call('POST', `${url}/${made.id}/pause`)).status, 409);
    const resumed = await api.call('POST', `${url}/current/resume`);
    assert.deepEqual([resumed.status, resumed.body.state, resumed.body.step], [200, 'running', 1]);
    await baked(api, made.id, 1);
    const again = await ended(api, made.id, 'paused');
    const kinds = again.events.map((event: { kind: string }) => event.kind);
    assert.deepEqual(kinds, ['started', 'baking', 'paused', 'resumed', 'baking', 'paused'], 'it enters the step anew');
    const aborted = await api.call('POST', `${url}/${made.id}/abort`);
    assert.equal(aborted.body.state, 'aborted', aborted.text);
    assert.equal((await head(api)).rollout, undefined);
    assert.equal((await api.call('GET', `${url}/current`)).status, 404);

    const next = await start(api, { labels: { canary: 'yes' }, bake_seconds: 600 });
    const promoted = await api.call('POST', `${url}/current/promote`);
    assert.deepEqual([promoted.body.id, promoted.body.state], [next.id, 'promoted']);
    assert.equal((await head(api)).stable.version, 2);
    const list = await api.call('GET', url);
    assert.deepEqual(
      list.body.items.map((one: { id: string; state: string }) => [one.id, one.state]),
      [
        [next.id, 'promoted'],
        [made.id, 'aborted'],
      ],
    );
  });

  test('a worker that comes while it is watched answers for what it counts with the release, not for what was before', async (t) => {
    const api = await open(t);
    const { join } = await fleet(t, api.store, four);
    await held(api);
    const halt_on = { error_rate: 0.05 };
    const made = await start(api, { labels: { canary: 'yes' }, bake_seconds: 600, halt_on });
    const baseline = async () =>
      (await api.db.client.rollout.findUnique({ where: { rollout_id: made.id } }))!.baseline as object | null;
    await watched(api, made.id, 1);
    await traffic('w-a', 50, 0, 10);
    await traffic('w-b', 50, 0, 10);
    await traffic('w-e', 1000, 900, 10);
    await join('w-e', { canary: 'yes' });
    // It is known from this look on, and then long enough.
    await api.app.context.rollouts.turn();
    pass(1_500);
    await until(async () => 'w-e' in (await baseline())! || (await state(api, made.id)).state !== 'running');
    const now = await state(api, made.id);
    assert.equal(now.state, 'running', now.reason);
    await traffic('w-e', 50, 40, 10);
    assert.match((await ended(api, made.id, 'halted')).reason, /^40\.0 % of 100 requests failed/);
  });

  test('is watched while it is paused, by a hand or by itself: it goes no further, and is taken back all the same', async (t) => {
    for (const byHand of [true, false]) {
      const api = await open(t);
      await fleet(t, api.store, four);
      await held(api);
      const halt_on = { error_rate: 0.05 };
      const made = await start(api, { labels: { canary: 'yes' }, bake_seconds: 600, halt_on });
      if (byHand) {
        await watched(api, made.id, 1);
        assert.equal((await api.call('POST', `${url}/current/pause`)).status, 200);
      } else await baked(api, made.id, 1);
      const paused = await ended(api, made.id, 'paused');
      const row = () => api.db.client.rollout.findUnique({ where: { rollout_id: made.id } });
      // A good while that is over hides nothing of what comes.
      await traffic('w-a', 1000, 0, 10);
      const { step_at } = (await row())!;
      await until(async () => {
        await api.app.context.rollouts.turn();
        pass(601_500);
        return Object.values((await row())!.baseline as object).some((one) => one.requests === 1000);
      });
      assert.ok((await row())!.step_at > step_at);
      const now = await state(api, made.id);
      assert.deepEqual([now.state, now.step, now.reason], ['paused', 1, paused.reason]);
      await traffic('w-a', 40, 10, 10);
      assert.match((await ended(api, made.id, 'halted')).reason, /25\.0 % of 40 requests failed/);
      await until(async () => (await head(api)).rollout === undefined);
    }
  });

  test('a release whose requests nearly all fail is halted without a word about limits; what is said of them holds', async (t) => {
    const api = await open(t);
    await fleet(t, api.store, four);
    await held(api);
    const how = { labels: { canary: 'yes' }, steps: [100], bake_seconds: 600 };
    for (const halt_on of [{}, { nack: true }, { nack: false }, { p99_ms: 100 }]) {
      const { body } = await api.call('POST', url, { body: { ...how, halt_on } });
      assert.deepEqual(body.halt_on, { nack: true, ...halt_on });
      assert.match(body.notes.join(), /there is no limit for them \(halt_on\.error_rate\)/);
      await api.call('POST', `${url}/current/abort`);
    }
    const made = await start(api, how);
    assert.deepEqual((await state(api, made.id)).halt_on, { nack: true, error_rate: 0.5 });
    assert.deepEqual(made.notes, []);
    await watched(api, made.id, 1);
    await traffic('w-b', 100, 10, 10);
    await traffic('w-a', 30, 30, 10);
    const now = await ended(api, made.id, 'halted');
    assert.match(now.reason, /100\.0 % of 30 requests failed, 10\.0 % on the stable release/);
  });

  test('a worker that refuses the release while it is paused takes it back, too', async (t) => {
    const api = await open(t);
    const { workers, runs } = await fleet(t, api.store, four);
    await held(api);
    const made = await start(api, { labels: { canary: 'yes' }, steps: [100], bake_seconds: 600 });
    await until(() => runs()['w-a'] === 2);
    assert.equal((await api.call('POST', `${url}/current/pause`)).status, 200);
    const issues = [{ pointer: '/x', message: 'no', code: 'no' }];
    const status = { applied: 1, refused: { version: 2, issues } };
    await workers.get('w-a')!.lease.report(new Map([['acme', status]]));
    await ended(api, made.id, 'halted');
  });

  test('a Redis that hangs keeps nobody from being halted', async (t) => {
    let asked = 0;
    const hanging = {
      pipeline: () => ({
        hmget() {},
        exec: () => {
          asked++;
          return new Promise((_, reject) => setTimeout(reject, 2_000, new Error('Command timed out')));
        },
      }),
    } as unknown as Redis;
    const api = await open(t, { redis: hanging });
    const { workers } = await fleet(t, api.store, four);
    const how = JSON.stringify({ labels: { canary: 'yes' }, bake_seconds: 3600, halt_on: { error_rate: 0.1 } });
    const others = Array.from({ length: 12 }, (_, i) => `other-${i}`);
    for (const tenant_id of others) {
      await api.call('POST', '/tenants', { body: { tenant_id, tenant_name: tenant_id } });
      const body = { name: 'no', type: 'dummy_deny' };
      await api.call('POST', `/tenants/${tenant_id}/escapers?rollout=${encodeURIComponent(how)}`, { body });
    }
    const data = { phase: 'baking' as const, bake_until: new Date(Date.now() + 3_600_000), baseline: {} };
    const { count } = await api.db.client.rollout.updateMany({ data });
    assert.equal(count, others.length);
    await held(api);
    workers.get('w-a')!.refuses = true;
    const made = await start(api, JSON.parse(how));
    await ended(api, made.id, 'halted');
    // Those that were looked at together ask; then it is known, by a clock that stands, that nobody need ask again.
    assert.ok(asked >= 1 && asked <= 8, `Redis was waited for ${asked} times`);

    await api.app.context.rollouts.close();
    await api.db.client.rollout.updateMany({ data: { halt_on: { nack: true, on_no_traffic: 'pause' } } });
    const engine = new RolloutEngine(api.app.context);
    t.after(() => engine.close());
    asked = 0;
    await engine.turn();
    assert.equal(asked, 0, 'who decides by no numbers waits for none');
  });
});
