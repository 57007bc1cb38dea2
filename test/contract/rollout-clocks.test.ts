/** Rollouts while clocks jump and workers leave: time is what passed for whoever watched. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { RolloutEngine } from '@arcus/api/features/rollouts/engine.ts';
import { testApi } from '@arcus/api/testing.ts';
import { until } from '@arcus/testkit/until.ts';
import { fleet } from './played-fleet.ts';

const HOUR = 3_600_000;
const url = '/tenants/acme/rollouts';

/** Release 2 is rolled out over 1, first to w-a, and that bakes for 60 s. */
async function baking(t: TestContext) {
  const time = { wall: Date.now(), ms: 0 };
  const api = await testApi({ now: () => time.wall });
  t.after(() => api.close());
  const played = await fleet(t, api.store, { 'w-a': { canary: 'yes' }, 'w-b': {}, 'w-c': {} });
  await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'Acme' } });
  await api.call('POST', '/tenants/acme/escapers?publish=hold', { body: { name: 'no', type: 'dummy_deny' } });
  const body = { labels: { canary: 'yes' }, steps: [100], bake_seconds: 60 };
  const made = await api.call('POST', url, { body });
  assert.equal(made.status, 201, made.text);
  const driver = () => {
    const engine = new RolloutEngine(api.app.context, () => time.ms);
    t.after(() => engine.close());
    return engine;
  };
  const state = async () => (await api.call('GET', `${url}/${made.body.id}`)).body;
  const reaches = (engine: RolloutEngine, phase: string, step: number) =>
    until(async () => {
      await engine.turn();
      const now = await state();
      return now.phase === phase && now.step === step && now;
    });
  const engine = driver();
  await reaches(engine, 'baking', 1);
  await engine.turn();
  return { api, time, played, engine, driver, state, reaches };
}

test('a step is watched for its time although the clock goes ahead, and ends although it goes back', async (t) => {
  const { time, engine, state, reaches } = await baking(t);
  time.wall += HOUR;
  await engine.turn();
  const now = await state();
  assert.deepEqual([now.state, now.phase, now.step], ['running', 'baking', 1]);
  assert.ok(Date.parse(now.bake_until) > time.wall, 'people are told the new time');
  time.ms += 61_500;
  await engine.turn();
  assert.equal((await state()).step, 2);
  await reaches(engine, 'baking', 2);
  await engine.turn();
  time.wall -= 2 * HOUR;
  await engine.turn();
  time.ms += 61_500;
  await engine.turn();
  const done = await state();
  assert.equal(done.state, 'promoted');
  assert.match(done.reason, /no numbers \(this installation has no Redis\)/);
});

test('another service drives it when the one that did is gone, although the clock went back an hour', async (t) => {
  const { time, driver, state } = await baking(t);
  time.wall -= HOUR;
  const second = driver();
  await second.turn();
  time.ms += 61_500;
  await second.turn();
  assert.equal((await state()).step, 2);
});

test('a worker is lost for as long as it was seen to be, whatever the clock does', async (t) => {
  const { api, time, played, engine, state } = await baking(t);
  await played.kill('w-a');
  time.wall += HOUR;
  await engine.turn();
  assert.equal((await state()).state, 'running', 'it is gone for a moment only');
  time.wall -= 2 * HOUR;
  time.ms += 29_999;
  await engine.turn();
  assert.equal((await state()).state, 'running');
  time.ms += 1;
  await engine.turn();
  const now = await state();
  assert.deepEqual([now.state, now.reason], ['halted', 'w-a took release 2 and was lost']);
  assert.equal((await api.store.getHead('acme'))?.head.rollout, undefined);
});

test('a canary that leaves while it is watched does not let the release go further: people decide', async (t) => {
  const { api, time, played, engine, state } = await baking(t);
  await played.leave('w-a');
  await engine.turn();
  time.ms += 29_999;
  await engine.turn();
  const waits = await state();
  assert.deepEqual([waits.state, waits.step], ['running', 1]);
  time.ms += 61_500;
  await engine.turn();
  const now = await state();
  assert.deepEqual([now.state, now.step], ['paused', 1]);
  assert.match(now.reason, /its workers left: none of those that took release 2 in step 1 \(canary=yes\) is there/);
  const { head } = (await api.store.getHead('acme'))!;
  assert.deepEqual([head.stable.version, head.rollout?.version], [1, 2]);
});
