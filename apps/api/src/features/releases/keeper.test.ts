import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testKeys } from '@arcus/testkit/keys.ts';
import { until } from '@arcus/testkit/until.ts';
import { testApi } from '../../testing.ts';
import { Keeper } from './keeper.ts';

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
