import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { type HeadEvent, StoreUnavailable } from '@arcus/control/store.ts';
import { testKeys } from '@arcus/testkit/keys.ts';
import { until } from '@arcus/testkit/until.ts';
import { type TestApi, testApi } from '../../testing.ts';
import { Keeper } from './keeper.ts';

const headOf = (api: TestApi) => async (tenant: string) => (await api.store.getHead(tenant))!.head;

test('a head that is spoilt again as soon as it is put back is put back less and less often, and others at once', async (t) => {
  const api = await testApi();
  const { db, log, now } = api.app.context;
  let ms = 0;
  const puts = new Map<string, number>();
  const spoil = async (tenant: string) => {
    const { head, revision } = (await api.store.getHead(tenant))!;
    await api.store.putHead(tenant, { ...head, seq: head.seq + 1 }, revision);
  };
  const keeper = new Keeper({
    ...{ db, store: api.store, log, now, verifier: testKeys().verifier, key: testKeys().signer.key },
    clock: () => ms,
    publish: async (tenant) => {
      puts.set(tenant, (puts.get(tenant) ?? 0) + 1);
      await spoil(tenant);
      return true;
    },
  });
  t.after(async () => {
    await keeper.close();
    await api.close();
  });
  const heads = ['acme', 'beta', 'last'];
  for (const tenant_id of heads) await api.call('POST', '/tenants', { body: { tenant_id, tenant_name: 'x' } });
  keeper.start();
  // Heads are seen in the order in which they were written: each of these comes after all that the one before set off.
  for (const [i, tenant] of heads.entries()) {
    if (i > 0) await until(() => puts.get(heads[i - 1]!) === 1);
    await spoil(tenant);
  }
  await until(() => puts.get('last') === 1);
  assert.deepEqual(Object.fromEntries(puts), { acme: 1, beta: 1, last: 1 });
  for (const [wait, times] of [
    [100, 2],
    [200, 3],
    [400, 4],
  ] as const) {
    ms += wait;
    await until(() => heads.every((tenant) => puts.get(tenant) === times));
  }
});

test('a store that is wiped while its heads are being compared is filled again at once', async (t) => {
  const api = await testApi();
  const { db, log, now } = api.app.context;
  for (const tenant_id of ['acme', 'beta'])
    await api.call('POST', '/tenants', { body: { tenant_id, tenant_name: 'x' } });
  const heads = new Map((await Promise.all(['acme', 'beta'].map(headOf(api)))).map((head) => [head.tenant, head]));
  const list = (all: typeof heads): HeadEvent => ({ type: 'list', heads: all, invalid: new Map() });
  let [reached, wiped] = [() => {}, () => {}];
  const comparing = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const gate = new Promise<void>((resolve) => {
    wiped = resolve;
  });
  // Tenants are compared by then; deleted ones come next.
  const deletedTenant = {
    findMany: async () => {
      reached();
      await gate;
      return [];
    },
  };
  const half = { ...db, client: { tenant: db.client.tenant, deletedTenant } } as unknown as typeof db;
  const store = {
    ...api.store,
    async *watchHeads() {
      yield list(heads);
      await comparing;
      yield list(new Map());
      wiped();
    },
  };
  const put = new Set<string>();
  const keeper = new Keeper({
    ...{ db: half, store, log, now, verifier: testKeys().verifier, key: testKeys().signer.key },
    publish: async (tenant) => put.add(tenant) !== undefined,
  });
  t.after(async () => {
    await keeper.close();
    await api.close();
  });
  keeper.start();
  // Well before the next turn comes by itself.
  await until(() => put.size === 2, { deadline: 15_000 });
});

test('heads that could not be put back because the store was away are put back as soon as it answers', async (t) => {
  const api = await testApi();
  const { db, log, now } = api.app.context;
  const heads = ['acme', 'beta'];
  for (const tenant_id of heads) await api.call('POST', '/tenants', { body: { tenant_id, tenant_name: 'x' } });
  let away = true;
  let pings = 0;
  const tries: string[] = [];
  const put = new Set<string>();
  const store = {
    ...api.store,
    async *watchHeads(signal: AbortSignal) {
      yield { type: 'list', heads: new Map(), invalid: new Map() } satisfies HeadEvent;
      await once(signal, 'abort');
    },
    async ping() {
      pings++;
      if (away) throw new StoreUnavailable('it is away');
    },
  };
  const keeper = new Keeper({
    ...{ db, store, log, now, verifier: testKeys().verifier, key: testKeys().signer.key },
    publish: async (tenant) => {
      tries.push(tenant);
      if (!away) put.add(tenant);
      return !away;
    },
  });
  t.after(async () => {
    await keeper.close();
    await api.close();
  });
  keeper.start();
  await until(() => pings === 2);
  assert.deepEqual(tries, [...new Set(tries)], 'a store that does not answer is asked for nothing else');
  away = false;
  // Well before the next turn comes by itself.
  await until(() => put.size === 2, { deadline: 15_000 });
});
