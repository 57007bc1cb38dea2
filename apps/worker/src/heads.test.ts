/** Whom a worker believes: what happens to heads that are not the management service's newest. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Head, HeadBody } from '@arcus/control/release.ts';
import { seal } from '@arcus/control/stores/file-io.ts';
import { newKeys, testKeys } from '@arcus/testkit/keys.ts';
import { startOrigin } from '@arcus/testkit/origin.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until } from '@arcus/testkit/until.ts';
import { answered, openFolder, proxyOn, publish, workerOn } from './testing.ts';

const deny = { escapers: [{ name: 'direct', type: 'dummy_deny' }] };

async function setUp(t: TestContext) {
  const folder = tempDir('heads');
  const store = await openFolder(join(folder.path, 'store'));
  const origin = await startOrigin();
  const port = await freePort();
  const started: Awaited<ReturnType<typeof workerOn>>[] = [];
  t.after(async () => {
    for (const worker of started) await worker.close({ now: true });
    await store.close();
    await origin.close();
    folder.close();
  });
  return {
    ...{ folder, store, port },
    async start(env: Record<string, string> = {}, id = 'w1') {
      const worker = await workerOn(store, join(folder.path, id), { ARCUS_WORKER_ID: id, ...env });
      started.push(worker);
      await worker.ready;
      return worker;
    },
    /** Status of one request on a connection of its own; 0 when the connection is refused. */
    async ask(through = port) {
      const client = await RawClient.connect({ port: through }).catch(() => null);
      if (!client) return 0;
      await client.send(`GET ${origin.url}/ HTTP/1.1\r\nHost: 127.0.0.1:${origin.port}\r\n\r\n`);
      const { status } = await client.readResponse();
      client.socket.destroy();
      return status;
    },
    /** Puts a head as it is, as somebody would who can write to the store. */
    async force(head: Head) {
      const now = await store.getHead('acme');
      await store.putHead('acme', head, now?.revision ?? null);
    },
    headNow: async () => (await store.getHead('acme'))!.head,
    refused: async (code: string) => {
      const { applied, refused } = await answered(store, 'acme', (s) => s.refused?.issues[0]?.code === code);
      return { applied, message: refused!.issues[0]!.message };
    },
    sign: ({ signature: _, ...body }: Head, more: Partial<HeadBody>) => testKeys().signer.sign({ ...body, ...more }),
  };
}

test('a head that was altered or signed by somebody else is refused, what runs goes on, and the true one heals', async (t) => {
  const { store, port, start, ask, force, headNow, refused } = await setUp(t);
  await publish(store, 'acme', 1, proxyOn(port, deny));
  const old = await headNow();
  await publish(store, 'acme', 2, proxyOn(port));
  await start();
  const good = await headNow();
  await force({ ...good, stable: old.stable, seq: 99 });
  const altered = await refused('head_not_believed');
  assert.equal(altered.applied, 2);
  assert.match(altered.message, /altered/);
  assert.equal(await ask(), 200);

  const { signature: _, ...body } = old;
  await force(newKeys().signer.sign({ ...body, seq: 100 }));
  await until(async () => /none of/.test((await refused('head_not_believed')).message));
  await force({ ...good, tenant: 'beta' });
  await until(async () => /tenant "beta"/.test((await refused('head_not_believed')).message));
  assert.equal(await ask(), 200);
  await force(good);
  assert.deepEqual(await answered(store, 'acme', (s) => !s.refused), { applied: 2 });
});

test('a head without a signature, or of a newer schema, is refused and what runs goes on', async (t) => {
  const { folder, store, port, start, ask, headNow, refused } = await setUp(t);
  await publish(store, 'acme', 1, proxyOn(port));
  await start();
  const { signature, ...body } = await headNow();
  const heads = join(folder.path, 'store', 'heads');
  /** Writes past the store's checks. */
  const force = async (value: unknown) => {
    const numbers = (await readdir(heads)).map((name) => Number(name.split('.').at(-1)));
    const draft = join(folder.path, 'forged');
    await writeFile(draft, seal(JSON.stringify(value), 'forged'));
    await rename(draft, join(heads, `acme.${Math.max(...numbers) + 1}`));
  };
  await force({ ...body, stable: { ...body.stable, version: 7 }, seq: 7 });
  assert.match((await refused('store_corrupt')).message, /signature/);
  await force({ ...body, signature, schema: 2 });
  await until(async () => /newer schema/.test((await refused('store_corrupt')).message));
  assert.equal(await ask(), 200);
});

test('an older head that comes again is refused, also after a restart', async (t) => {
  const { store, port, start, ask, force, headNow, refused } = await setUp(t);
  await publish(store, 'acme', 1, proxyOn(port, deny));
  const old = await headNow();
  await publish(store, 'acme', 2, proxyOn(port));
  const first = await start();
  await force(old);
  assert.deepEqual((await refused('head_replayed')).applied, 2);
  assert.equal(await ask(), 200);
  await first.close({ now: true });
  await start();
  assert.deepEqual((await refused('head_replayed')).applied, 2);
  assert.equal(await ask(), 200);
});

test('a worker that was given other labels refuses what is older than the head it has saved, and takes that and newer', async (t) => {
  const { store, port, start, ask, force, headNow, refused, sign } = await setUp(t);
  await publish(store, 'acme', 1, proxyOn(port));
  const old = await headNow();
  await publish(store, 'acme', 2, proxyOn(port, deny));
  const two = await headNow();
  await publish(store, 'acme', 3, proxyOn(await freePort()));
  const rollout = { ...(await headNow()).stable, id: 'r1', subset: { labels: { tier: 'canary' } } };
  const canary = sign(two, { seq: 4, rollout });
  const elsewhere = sign(two, { seq: 5, placement: { any: [{ site: 'b' }] } });
  await force(canary);
  const first = await start();
  assert.equal(await ask(), 403);
  await first.close({ now: true });
  await force(old);
  const second = await start({ ARCUS_WORKER_LABELS: 'tier=canary' });
  const { applied, message } = await refused('head_replayed');
  assert.equal(applied, 0);
  assert.match(message, /number 1, older than number 4/);
  assert.equal(await ask(), 0);
  await force(canary);
  assert.deepEqual(await answered(store, 'acme', (s) => !s.refused), { applied: 3 });
  // It left: of that the head alone is kept, and counts when the tenant is placed here again.
  await force(elsewhere);
  await until(async () => (await store.listStatus('acme')).size === 0);
  await second.close({ now: true });
  await force(canary);
  await start({ ARCUS_WORKER_LABELS: 'site=b' });
  assert.match((await refused('head_replayed')).message, /number 4, older than number 5/);
  await force(elsewhere);
  assert.deepEqual(await answered(store, 'acme', (s) => !s.refused), { applied: 2 });
});

test('a deleted tenant is forgotten when its head is older than any that the store keeps', async (t) => {
  const { folder, store, port, start, ask, force, headNow, sign } = await setUp(t);
  await publish(store, 'acme', 1, proxyOn(port));
  const first = await start();
  await force(sign(await headNow(), { seq: Date.now() - 31 * 86_400_000, deleted: true }));
  await until(async () => (await ask()) === 0);
  await first.close({ now: true });
  const tenants = join(folder.path, 'w1', 'worker', 'w1', 'tenants');
  assert.deepEqual(await readdir(tenants), ['acme']);
  await store.deleteHead('acme', (await store.getHead('acme'))!.revision);
  const second = await start();
  await second.close({ now: true });
  assert.deepEqual(await readdir(tenants), []);
});

test('a signed head with a higher number brings an older release back: that is what a rollback is', async (t) => {
  const { store, port, start, ask, force, headNow, sign } = await setUp(t);
  await publish(store, 'acme', 1, proxyOn(port));
  const old = await headNow();
  await publish(store, 'acme', 2, proxyOn(port, deny));
  await start();
  assert.equal(await ask(), 403);
  await force(sign(old, { seq: 3 }));
  await answered(store, 'acme', (s) => s.applied === 1);
  assert.equal(await ask(), 200);
});

test('a head that is gone, or a store that lost everything, stops no tenant, and it may come back', async (t) => {
  const { folder, store, port, start, ask, headNow } = await setUp(t);
  await publish(store, 'acme', 1, proxyOn(port));
  const first = await start();
  await store.deleteHead('acme', (await store.getHead('acme'))!.revision);
  const beta = await freePort();
  await publish(store, 'beta', 1, proxyOn(beta));
  await until(async () => (await ask(beta)) === 200);
  assert.equal(await ask(), 200, 'the deletion came before and did nothing');
  await rm(join(folder.path, 'store', 'heads'), { recursive: true });
  await publish(store, 'acme', 2, proxyOn(port, deny));
  await until(async () => (await ask()) === 403);
  assert.equal((await headNow()).seq, 2);
  assert.equal(await ask(beta), 200);
  await first.close({ now: true });
  await rm(join(folder.path, 'store'), { recursive: true });
  await start();
  assert.deepEqual([await ask(), await ask(beta)], [403, 200], 'from the snapshot');
});

test('a deleted tenant does not come back by an old head, not after a restart either, but by a new one', async (t) => {
  const { store, port, start, ask, force, headNow, sign, refused } = await setUp(t);
  await publish(store, 'acme', 1, proxyOn(port));
  const old = await headNow();
  const first = await start();
  const now = Date.now();
  await force(sign(old, { seq: now, deleted: true }));
  await until(async () => (await ask()) === 0);
  await until(async () => (await store.listStatus('acme')).size === 0);
  await force(old);
  assert.equal((await refused('head_replayed')).applied, 0);
  await first.close({ now: true });
  await start();
  assert.equal((await refused('head_replayed')).applied, 0);
  assert.equal(await ask(), 0);
  await force(sign(old, { seq: now + 1 }));
  await until(async () => (await ask()) === 200);
});

test('heads of both keys are believed while keys are changed, and the snapshot follows the new one', async (t) => {
  const { folder, store, port, start, ask, headNow, force } = await setUp(t);
  const next = newKeys();
  await publish(store, 'acme', 1, proxyOn(port));
  const both = { ARCUS_VERIFY_KEYS: testKeys().env.ARCUS_VERIFY_KEYS + next.env.ARCUS_VERIFY_KEYS };
  const first = await start(both);
  assert.equal(await ask(), 200);
  const { signature: _, ...body } = await headNow();
  const signed = next.signer.sign(body);
  await force(signed);
  const file = join(folder.path, 'w1', 'worker', 'w1', 'tenants', 'acme');
  await until(async () => (await readFile(file)).includes(signed.signature.value));
  await first.close({ now: true });
  await store.deleteHead('acme', (await store.getHead('acme'))!.revision);
  await start({ ARCUS_VERIFY_KEYS: next.env.ARCUS_VERIFY_KEYS });
  assert.equal(await ask(), 200, 'from the snapshot, which the new key has signed');
});

test('a snapshot whose head was altered is not served, and the store heals it', async (t) => {
  const { folder, store, port, start, ask, refused } = await setUp(t);
  await publish(store, 'acme', 1, proxyOn(port));
  const first = await start();
  await first.close({ now: true });
  const file = join(folder.path, 'w1', 'worker', 'w1', 'tenants', 'acme');
  const rest = (await readFile(file)).subarray(65).toString('latin1').replace('"seq":1', '"seq":9');
  await writeFile(file, `${createHash('sha256').update(rest, 'latin1').digest('hex')}\n${rest}`, 'latin1');
  const { head, revision } = (await store.getHead('acme'))!;
  await store.deleteHead('acme', revision);
  await start();
  assert.equal((await refused('head_not_believed')).applied, 0);
  assert.equal(await ask(), 0);
  await store.putHead('acme', head, null);
  await until(async () => (await ask()) === 200);
});

test('of a rollout each worker runs what it is in, and a tenant that is placed elsewhere is not listened for', async (t) => {
  const { store, start, force, headNow, sign } = await setUp(t);
  await publish(store, 'acme', 1, {});
  const old = await headNow();
  await publish(store, 'acme', 2, deny);
  const rollout = { ...(await headNow()).stable, id: 'r1', subset: { labels: { canary: 'yes' } } };
  await force(sign(old, { seq: 3, rollout }));
  await start({ ARCUS_WORKER_LABELS: 'canary=yes,site=a' }, 'w1');
  await start({ ARCUS_WORKER_LABELS: 'site=b' }, 'w2');
  const runs = async () => Object.fromEntries([...(await store.listStatus('acme'))].map(([id, s]) => [id, s.applied]));
  const become = (wanted: Record<string, number>) =>
    until(async () => JSON.stringify(Object.entries(await runs()).sort()) === JSON.stringify(Object.entries(wanted)));
  await become({ w1: 2, w2: 1 });
  await force(sign(old, { seq: 4 }));
  await become({ w1: 1, w2: 1 });
  await force(sign(old, { seq: 5, placement: { any: [{ site: 'b' }] } }));
  await become({ w2: 1 });
  await force(sign(old, { seq: 6, placement: { any: [{ site: 'b' }, { site: 'a' }] } }));
  await become({ w1: 1, w2: 1 });
});

test('a worker without keys to believe does not start, and says which variable it needs', async (t) => {
  const { start } = await setUp(t);
  await assert.rejects(start({ ARCUS_VERIFY_KEYS: '' }), /ARCUS_VERIFY_KEYS or ARCUS_VERIFY_KEYS_FILE must be set/);
});

test('of heads that were never believed nothing is left when they are gone; what runs goes on', async (t) => {
  const { store, port, start, ask, headNow } = await setUp(t);
  await publish(store, 'acme', 1, proxyOn(port));
  const worker = await start();
  const { signature: _, ...body } = await headNow();
  const invented = ['ghost1', 'ghost2'];
  const refused = async () => ((await (await worker.get('/health')).json()) as { refused: number }).refused;
  for (const tenant of invented) await store.putHead(tenant, newKeys().signer.sign({ ...body, tenant }), null);
  for (const tenant of invented)
    await answered(store, tenant, (s) => s.refused?.issues[0]?.code === 'head_not_believed');
  assert.equal(await refused(), 2);
  for (const tenant of [...invented, 'acme']) {
    await store.deleteHead(tenant, (await store.getHead(tenant))!.revision);
  }
  for (const tenant of invented) await until(async () => (await store.listStatus(tenant)).size === 0);
  await until(async () => (await refused()) === 0);
  assert.deepEqual([...(await store.listStatus('acme')).values()], [{ applied: 1 }]);
  assert.equal(await ask(), 200);
  await publish(store, 'ghost1', 1, proxyOn(await freePort()));
  assert.deepEqual(await answered(store, 'ghost1', (s) => s.applied > 0), { applied: 1 });
});
