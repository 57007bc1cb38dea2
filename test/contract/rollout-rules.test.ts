/** What may begin a rollout, go along with one or end it. On both databases; workers are played. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '@arcus/testkit/until.ts';
import { fleet } from './played-fleet.ts';
import { ended, four, head, held, onBoth, start, state, url } from './rollout-setting.ts';

onBoth('rules of rollouts', ({ database, open, pass, baked }) => {
  test('one at a time: neither a second rollout nor a write comes in between', async (t) => {
    const api = await open(t);
    await fleet(t, api.store, four);
    assert.equal((await api.call('POST', url, { body: {} })).status, 404);
    await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'Acme' } });
    const nothing = await api.call('POST', url, { body: {} });
    assert.equal(nothing.status, 409);
    assert.match(nothing.body.detail, /made with \?publish=hold/);
    await api.call('POST', '/tenants/acme/escapers?publish=hold', { body: { name: 'no', type: 'dummy_deny' } });
    assert.equal((await api.call('POST', url, { body: { version: 1 } })).status, 409);
    const answers = await Promise.all([1, 2, 3].map(() => api.call('POST', url, { body: { bake_seconds: 600 } })));
    assert.deepEqual(answers.map((answer) => answer.status).sort(), [201, 409, 409]);
    for (const publish of ['', '?publish=now', '?publish=hold']) {
      const body = { name: 'b', type: 'dummy_deny' };
      const write = await api.call('POST', `/tenants/acme/escapers${publish}`, { body });
      assert.equal(write.status, 409, publish);
      assert.match(write.body.detail, /is being rolled out: promote or abort it first/);
    }
    const faults = await api.call('POST', url, { body: { percent: 50, labels: { a: 'b' }, steps: [40, 30] } });
    assert.equal(faults.status, 422);
    assert.deepEqual(faults.body.errors.map((fault: { pointer: string }) => fault.pointer).sort(), [
      '/labels',
      '/steps/0',
      '/steps/1',
    ]);
  });

  test('a rollout without a step is refused, and one that got into the database nevertheless hurts nobody', async (t) => {
    const api = await open(t);
    await fleet(t, api.store, four);
    await held(api);
    const faults = await api.call('POST', url, { body: { steps: [] } });
    assert.deepEqual([faults.status, faults.body.errors[0].pointer], [422, '/steps'], faults.text);
    const made = await api.call('POST', url, { body: { bake_seconds: 600 } });
    const rollout_id = made.body.id;
    const before = await head(api);
    await api.db.client.rollout.updateMany({ where: { rollout_id }, data: { steps: [] } });
    await api.db.client.tenant.updateMany({ where: { tenant_id: 'acme' }, data: { seq: before.seq + 1 } });
    assert.equal(await api.app.context.publisher.publish('acme'), false);
    assert.deepEqual(await head(api), before, 'nothing that no worker can read is put into the store');
    for (let look = 1; look <= 4; look++) await api.app.context.rollouts.turn();
    assert.equal((await state(api, rollout_id)).state, 'running', 'the fault may pass');
    await api.app.context.rollouts.turn();
    const stuck = await state(api, rollout_id);
    assert.equal(stuck.state, 'paused');
    assert.match(stuck.reason, /^it cannot be driven: /);
    assert.equal(stuck.events.at(-1).kind, 'paused');
    assert.equal((await api.call('POST', `${url}/current/abort`)).status, 200);
    assert.equal((await head(api)).rollout, undefined);
  });

  test('pages of rollouts follow one another, and the cursor of another list is none', async (t) => {
    // Of two that begin in one millisecond nobody could say which is the newer one.
    let now = Date.now();
    const api = await open(t, { now: () => now++ });
    await fleet(t, api.store, four);
    await held(api);
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) {
      ids.unshift((await api.call('POST', url, { body: { bake_seconds: 600 } })).body.id);
      await api.call('POST', `${url}/current/abort`);
    }
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body } = await api.call('GET', `${url}?limit=1${cursor && `&cursor=${cursor}`}`);
      seen.push(...body.items.map((one: { id: string }) => one.id));
      cursor = body.next_cursor;
    }
    assert.deepEqual(seen, ids);
    for (const key of ['zz', `zz ${ids[0]}`, `2026-99-01T00:00:00.000Z ${ids[0]}`, '2026-01-01T00:00:00.000Z', 7]) {
      const cursor = Buffer.from(JSON.stringify([key])).toString('base64url');
      const answer = await api.call('GET', `${url}?cursor=${cursor}`);
      assert.deepEqual([answer.status, answer.body.errors?.[0].code], [400, 'invalid_cursor'], String(key));
    }
  });

  test('a tenant that is deleted while its rollout begins is not found', async (t) => {
    const api = await open(t);
    await held(api);
    t.mock.method(api.app.context.publisher, 'publish', async () => {
      await api.db.client.tenant.delete({ where: { tenant_id: 'acme' } });
      return false;
    });
    const made = await api.call('POST', url, { body: {} });
    assert.equal(made.status, 404, made.text);
  });

  test('a rollback aborts a rollout that is under way, in its story; one that is to be held does not', async (t) => {
    const api = await open(t);
    const { runs } = await fleet(t, api.store, four);
    await held(api);
    const made = await start(api, { labels: { canary: 'yes' }, steps: [100], bake_seconds: 600 });
    await until(() => runs()['w-a'] === 2);
    const hold = await api.call('POST', '/tenants/acme/rollback?publish=hold', { body: { version: 1 } });
    assert.equal(hold.status, 409, hold.text);
    const back = await api.call('POST', '/tenants/acme/rollback', { body: { version: 1 } });
    assert.deepEqual([back.status, back.body.version, back.body.state], [200, 3, 'published'], back.text);
    const now = await head(api);
    assert.deepEqual([now.stable.version, now.rollout], [3, undefined]);
    const ended = await state(api, made.id);
    assert.deepEqual([ended.state, ended.reason], ['aborted', 'rolled back to release 1']);
    const { kind, text, actor } = ended.events.at(-1);
    assert.deepEqual([kind, text, actor], ['aborted', 'rolled back to release 1', 'first admin']);
    await until(() => Object.values(runs()).every((version) => version === 3));
    assert.equal((await api.call('GET', '/tenants/acme/releases/2')).body.state, 'superseded');
  });

  test('a tenant is suspended at once while a release is rolled out, also where that runs', async (t) => {
    const api = await open(t);
    const { runs } = await fleet(t, api.store, four);
    await held(api);
    const made = await start(api, { labels: { canary: 'yes' }, steps: [100], bake_seconds: 600 });
    await until(() => runs()['w-a'] === 2);
    const body = { tenant_name: 'Acme', status: 'suspended' };
    const put = await api.call('PUT', '/tenants/acme?wait=acked&timeout=60s', { body, match: '*' });
    assert.equal(put.status, 200, put.text);
    assert.deepEqual([put.headers['arcus-release'], put.headers['arcus-release-state']], ['3', 'acked']);
    await until(() => JSON.stringify(runs()) === '{"w-a":3,"w-b":3,"w-c":3,"w-d":3}');
    const ended = await state(api, made.id);
    assert.equal(ended.state, 'aborted');
    assert.match(ended.reason, /the tenant is suspended now/);
    const again = await api.call('POST', url, { body: { bake_seconds: 600 } });
    assert.deepEqual([again.status, again.body.version, again.body.stable_version], [201, 4, 3], again.text);
  });

  test('a fleet of one is told that it cannot be split, and when it takes the release', async (t) => {
    const api = await open(t);
    await fleet(t, api.store, { 'w-b': {} });
    await held(api);
    const made = await start(api, { steps: [0.01, 100], bake_seconds: 600, halt_on: { error_rate: 0.1 } });
    assert.match(
      made.notes[0]!,
      /There is one worker \(w-b\): it cannot be split.*step 2 of 2 \(100 %\).*nothing to compare/,
    );
    const [started] = (await state(api, made.id)).events;
    assert.deepEqual([started.kind, started.details.notes], ['started', made.notes], 'it stays in the story');
    const skipped = await until(async () => {
      const now = await state(api, made.id);
      return now.step === 2 && now.phase === 'baking' && now;
    });
    const story = skipped.events.find((event: { kind: string }) => event.kind === 'skipped');
    assert.match(story.text, /step 1 \(0\.01 %\) takes none of the 1 workers: nothing was tried/);

    await api.call('POST', `${url}/current/abort`);
    const how = encodeURIComponent(JSON.stringify({ steps: [100], bake_seconds: 600 }));
    const body = { escapers: [{ name: 'other', type: 'dummy_deny' }] };
    const put = await api.call('PUT', `/tenants/acme/config?rollout=${how}`, { match: '*', body });
    assert.match(put.body.notes[0], /There is one worker \(w-b\).*step 1 of 1 \(100 %\)/, put.text);
    const again = await api.call('GET', `${url}/${put.body.rollout}`);
    assert.deepEqual(again.body.events[0].details.notes, put.body.notes);
  });

  test('a worker that takes the release and dies is not counted as fine', async (t) => {
    const api = await open(t);
    const { kill, runs } = await fleet(t, api.store, four);
    await held(api);
    const made = await start(api, { labels: { canary: 'yes' }, steps: [100], bake_seconds: 20 });
    await until(() => runs()['w-a'] === 2);
    await until(async () => (await state(api, made.id)).phase === 'baking');
    await kill('w-a');
    // It is gone for less than would halt it, and the bake is over.
    await api.app.context.rollouts.turn();
    pass(21_500);
    await api.app.context.rollouts.turn();
    const now = await state(api, made.id);
    assert.deepEqual([now.state, now.step], ['running', 1]);
  });

  test('goes on where it was when the service that drove it is gone', async (t) => {
    const api = await open(t);
    await fleet(t, api.store, four);
    await held(api);
    const made = await start(api, { labels: { canary: 'yes' }, steps: [100], bake_seconds: 600 });
    await until(async () => (await state(api, made.id)).phase === 'baking');
    await api.app.context.rollouts.close();
    const second = await open(t, { store: api.store, database: api.database });
    second.app.context.rollouts.start(20);
    await baked(second, made.id, 1);
    await baked(second, made.id, 2);
    await ended(api, made.id, 'promoted');
    await until(async () => (await head(api)).stable.version === 2);
  });

  test('one call holds a release and rolls it out: a config, an object, or a draft', async (t) => {
    const api = await open(t);
    await fleet(t, api.store, four);
    const made = await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'Acme' } });
    assert.equal(made.status, 201);
    const rollout = (how: object) => `rollout=${encodeURIComponent(JSON.stringify(how))}`;
    const canary = { labels: { canary: 'yes' }, steps: [100], bake_seconds: 600 };
    const body = { escapers: [{ name: 'a', type: 'dummy_deny' }] };
    const put = (query: string, config: object = body) =>
      api.call('PUT', `/tenants/acme/config?${query}`, { match: '*', body: config });
    const first = await put(`${rollout(canary)}&message=try`);
    assert.equal(first.status, 200, first.text);
    assert.deepEqual([first.body.version, first.body.state, first.body.changed], [2, 'held', true]);
    const under = (await api.call('GET', `${url}/current`)).body;
    assert.deepEqual(
      [under.id, under.version, under.message, under.steps],
      [first.body.rollout, 2, 'try', [{ labels: { canary: 'yes' } }, { percent: 100 }]],
    );
    assert.equal(first.headers['arcus-rollout'], under.id);
    assert.equal((await head(api)).rollout?.version, 2);
    // Sent again it changes nothing, and what it wants is under way.
    assert.equal((await put(rollout(canary))).status, 409);
    await api.call('POST', `${url}/current/abort`);
    const again = await put(rollout(canary));
    assert.deepEqual([again.body.changed, again.body.version], [false, 2]);
    assert.match(again.body.rollout, /^r-/, 'what is held already is rolled out');
    await api.call('POST', `${url}/current/promote`);
    assert.equal((await put(rollout(canary))).body.rollout, undefined, 'there is nothing to be rolled out');

    const object = { type: 'dummy_deny' };
    const one = await api.call('PUT', `/tenants/acme/escapers/b?${rollout({})}`, { body: object });
    assert.deepEqual([one.status, one.headers['arcus-release-state']], [201, 'held'], one.text);
    assert.match(String(one.headers['arcus-rollout']), /^r-/);
    await api.call('POST', `${url}/current/promote`);
    await api.call('POST', '/tenants/acme/drafts', { body: { name: 'next' } });
    await api.call('PUT', '/tenants/acme/drafts/next/escapers/c', { body: object });
    const applied = await api.call('POST', `/tenants/acme/drafts/next/apply?${rollout(canary)}`);
    assert.deepEqual([applied.status, applied.body.state, applied.body.left], [200, 'held', 0], applied.text);
    assert.equal((await api.call('GET', `${url}/current`)).body.id, applied.body.rollout);
  });

  test('of writes that want a rollout at once one gets it; the others store nothing, and no draft is lost', async (t) => {
    const api = await open(t);
    const apis = [api, ...(database === 'SQLite' ? [] : [await open(t, { store: api.store, database: api.database })])];
    const on = (i: number) => apis[i % apis.length]!;
    await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'Acme' } });
    const how = (i: number) => {
      const rollout = JSON.stringify({ percent: i + 1, bake_seconds: 3600, message: `number ${i}` });
      return `rollout=${encodeURIComponent(rollout)}`;
    };
    const numbers = [0, 1, 2, 3];
    const one = async (answers: { status: number; text: string }[], good: number) => {
      const begun = answers.findIndex(({ status }) => status === good);
      for (const [i, { status, text }] of answers.entries()) {
        assert.equal(status, i === begun ? good : 409, text);
        if (i !== begun) assert.match(text, /rolled out: promote or abort it first/);
      }
      assert.equal((await api.call('GET', `${url}/current`)).body.message, `number ${begun}`);
      return begun;
    };
    const names = async () => {
      const { items } = (await api.call('GET', '/tenants/acme/escapers')).body;
      return items.map((item: { name: string }) => item.name);
    };

    const body = (i: number) => ({ name: `e${i}`, type: 'dummy_deny' });
    const writes = numbers.map((i) =>
      on(i).call('POST', `/tenants/acme/escapers?${how(i)}`, { body: body(i), token: api.admin }),
    );
    const stored = await one(await Promise.all(writes), 201);
    assert.deepEqual(await names(), [`e${stored}`]);
    await api.call('POST', `${url}/current/promote`);

    for (const i of numbers) {
      await api.call('POST', '/tenants/acme/drafts', { body: { name: `d${i}` } });
      await api.call('PUT', `/tenants/acme/drafts/d${i}/escapers/n${i}`, { body: { type: 'dummy_deny' } });
    }
    const applies = numbers.map((i) =>
      on(i).call('POST', `/tenants/acme/drafts/d${i}/apply?${how(i)}`, { token: api.admin }),
    );
    const applied = await one(await Promise.all(applies), 200);
    assert.deepEqual(await names(), [`e${stored}`, `n${applied}`]);
    const left = (await api.call('GET', '/tenants/acme/drafts')).body.items.map(
      (draft: { name: string }) => draft.name,
    );
    assert.deepEqual(
      left,
      numbers.filter((i) => i !== applied).map((i) => `d${i}`),
    );
    await api.call('POST', `${url}/current/abort`);
    assert.equal((await head(api)).rollout, undefined);
  });

  test('a write with a rollout that makes no sense stores nothing', async (t) => {
    const api = await open(t, { redis: undefined as never });
    await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'Acme' } });
    for (const [query, pattern] of [
      ['rollout=yes', /must be JSON/],
      ['rollout={"steps":[50,40]}', /each step must be larger/],
      ['rollout={"version":2}', /version/],
      ['rollout={}&publish=now', /without publish and wait/],
      ['rollout={}&wait=acked', /without publish and wait/],
      ['rollout={"halt_on":{"p99_ms":5}}', /no Redis/],
    ] as const) {
      const body = { name: 'a', type: 'dummy_deny' };
      const made = await api.call('POST', `/tenants/acme/escapers?${encodeURI(query)}`, { body });
      assert.ok(made.status === 400 || made.status === 422, `${query}: ${made.text}`);
      assert.match(made.text, pattern);
    }
    assert.equal((await api.call('GET', '/tenants/acme/releases')).body.items.length, 1);
    const shared = await api.call('PUT', '/config/global?rollout={}', { match: '*', body: {} });
    assert.equal(shared.status, 400, 'the shared config is not rolled out');
  });

  test('what is promoted leaves no older release held, and says that nothing was watched when nothing was', async (t) => {
    const api = await open(t);
    await fleet(t, api.store, four);
    await held(api);
    await api.call('POST', '/tenants/acme/escapers?publish=hold', { body: { name: 'too', type: 'dummy_deny' } });
    const made = await start(api, { labels: { canary: 'yes' }, steps: [100], bake_seconds: 0 });
    const now = await ended(api, made.id, 'promoted');
    const said = now.events.find((event: { kind: string }) => event.kind === 'baked').text;
    assert.match(said, /no numbers \(it was not watched: bake_seconds is 0\)/);
    const states = await until(async () => {
      const { items } = (await api.call('GET', '/tenants/acme/releases')).body;
      return items[0].state === 'published' && items.map((release: { state: string }) => release.state);
    });
    assert.deepEqual(states, ['published', 'superseded', 'published']);
  });

  test('two services drive it once', async (t) => {
    if (database === 'SQLite') return t.skip('one process at a time');
    const api = await open(t);
    await fleet(t, api.store, four);
    await held(api);
    const second = await open(t, { store: api.store, database: api.database });
    second.app.context.rollouts.start(5);
    const made = await start(api, { labels: { canary: 'yes' }, steps: [50, 100], bake_seconds: 0 });
    const now = await ended(api, made.id, 'promoted');
    const kinds = now.events.map((event: { kind: string }) => event.kind);
    assert.equal(kinds.filter((kind: string) => kind === 'promoted').length, 1);
    assert.equal(kinds.filter((kind: string) => kind === 'baked').length, 2);
  });
});
