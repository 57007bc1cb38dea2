/** Whatever is fetched slowly, fails, is handed over or comes meanwhile: on disk is what the newest order said. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { sha256 } from '@arcus/control/canonical.ts';
import { type Manifest, SCHEMA } from '@arcus/control/release.ts';
import { testHead } from '@arcus/testkit/keys.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until } from '@arcus/testkit/until.ts';
import pino from 'pino';
import { latch } from './lanes.ts';
import { Snapshot } from './snapshot.ts';
import type { Saved } from './snapshot-record.ts';

const log = pino({ level: 'silent' });
/** Of each kind: kept at hand, not kept at hand, with a file of its own. */
const pool = [100, 4_000, 5_000, 15_000, 16_384, 20_000].map((size) => randomBytes(size));
const medium = pool[2]!;
const large = pool[5]!;
const stored = new Map(pool.map((body) => [sha256(body), body]));

function manifestOf(tenant: string, version: number, bodies: readonly Uint8Array[]): Manifest {
  return {
    ...{ schema: SCHEMA, tenant, version, checksum: '0'.repeat(64), author: '', message: '' },
    ...{ sections: [{ path: '/config/policies', blobs: bodies.map(sha256), list: true }] },
    created_at: new Date(0).toISOString(),
  };
}

/** A release of `named` that brings only `brought`; its head's number is the version. */
function release(version: number, named: readonly Uint8Array[], brought = named, tenant = 'acme'): Saved {
  const blobs = new Map(brought.map((body) => [sha256(body), body]));
  return { tenant, head: testHead(version, { tenant }), manifest: manifestOf(tenant, version, named), blobs };
}

const headOnly = (seq: number, manifest: 'same' | null, tenant = 'acme'): Saved => {
  return { tenant, head: testHead(seq, { tenant }), manifest, blobs: new Map() };
};

/**
 * A snapshot whose fetches take as long as `fetch.takes`, and fail when `fetch.fails` says so. What waits for the disk
 * waits to the end, unless `fetch.late` ends it. `read` is what a new process finds.
 */
async function setUp(t: TestContext) {
  const { path: dir, close } = tempDir('order');
  const never = (): Promise<unknown> => new Promise(() => {});
  const fetch = {
    takes: (): Promise<unknown> => wait(0),
    fails: () => false,
    open: 0,
    late: never as typeof never | undefined,
  };
  const gate = latch();
  const open = () =>
    Snapshot.open({
      dir,
      log,
      get patience() {
        return fetch.late;
      },
      fetch: async (names) => {
        const fails = fetch.fails();
        fetch.open++;
        await fetch.takes();
        fetch.open--;
        if (fails) throw new Error('the store is away');
        return new Map(names.map((name) => [name, stored.get(name)!]));
      },
    });
  const snapshot = await open();
  t.after(async () => {
    gate.open();
    await snapshot.close();
    close();
  });
  const read = async () => {
    const all: Record<string, [seq: number, version: number | null]> = {};
    for await (const { tenant, head, manifest } of (await open()).load()) {
      all[tenant] = [head.seq, manifest?.version ?? null];
    }
    return all;
  };
  /** Fetches take until it is opened. */
  const hold = () => {
    fetch.takes = () => gate.promise;
    return gate;
  };
  /** Nobody waits for the disk longer than until something is being fetched. */
  const hurry = () => {
    fetch.late = () => until(() => fetch.open > 0);
  };
  return { dir, snapshot, open, fetch, hold, hurry, patient: () => Object.assign(fetch, { late: never }), read };
}

for (const fails of [false, true]) {
  test(`a release whose parts ${fails ? 'cannot be' : 'are slowly'} fetched does not touch the newer one`, async (t) => {
    const { snapshot, fetch, hold, read } = await setUp(t);
    await snapshot.put(release(1, [pool[0]!]));
    const gate = hold();
    fetch.fails = () => fails;
    const two = snapshot.put(release(2, [medium], []));
    await until(() => fetch.open > 0);
    await snapshot.put(release(3, [pool[0]!]));
    assert.deepEqual(await read(), { acme: [3, 3] }, 'written before it serves');
    gate.open();
    await two;
    await snapshot.flush();
    assert.deepEqual(await read(), { acme: [3, 3] });
    assert.equal(snapshot.failures, 0);
  });
}

test('a newer head of a release whose parts are still fetched is kept with that release', async (t) => {
  const { snapshot, fetch, hold, read } = await setUp(t);
  await snapshot.put(release(1, [pool[0]!]));
  const gate = hold();
  // As it is in a worker: after a while nobody waits any more.
  fetch.late = undefined;
  await snapshot.put(release(2, [medium], []));
  snapshot.save(headOnly(3, 'same'));
  gate.open();
  await snapshot.flush();
  assert.deepEqual(await read(), { acme: [3, 2] });
});

test('a tenant that is removed while its parts are fetched is gone, also for a head that comes late; made anew it is there', async (t) => {
  const { snapshot, fetch, read } = await setUp(t);
  await snapshot.put(release(1, [pool[0]!]));
  fetch.takes = () => wait(50);
  const put = snapshot.put(release(2, [medium], []));
  snapshot.remove('acme');
  snapshot.save(headOnly(3, 'same'));
  await put;
  await snapshot.flush();
  assert.deepEqual(await read(), {});
  snapshot.remove('acme');
  await snapshot.put(release(2, [medium], []));
  await snapshot.flush();
  assert.deepEqual(await read(), { acme: [2, 2] });
});

test('a tenant whose parts are fetched slowly makes no other one serve before it is written', async (t) => {
  const { snapshot, hold, hurry, patient, read } = await setUp(t);
  hold();
  hurry();
  await snapshot.put(release(1, [medium], []));
  patient();
  snapshot.save(release(1, [pool[3]!], [], 'slow'));
  await snapshot.put(release(1, [pool[0]!], undefined, 'beta'));
  assert.deepEqual(await read(), { beta: [1, 1] });
});

test('what is fetched when the folder is handed over is not written into it', async (t) => {
  const { snapshot, open, fetch, hold, hurry, patient, read } = await setUp(t);
  await snapshot.put(release(1, [pool[0]!]));
  const gate = hold();
  hurry();
  await snapshot.put(release(2, [medium], []));
  await snapshot.hold();
  patient();
  const successor = await open();
  await successor.put(release(3, [pool[0]!]));
  await successor.close();
  gate.open();
  await until(() => fetch.open === 0);
  await snapshot.flush();
  assert.deepEqual(await read(), { acme: [3, 3] });
  snapshot.resume();
  await snapshot.flush();
  assert.deepEqual(await read(), { acme: [3, 3] }, 'also given back: what it has is older');
});

test('a folder that is given back is taken as the other process left it', async (t) => {
  const { dir, snapshot, open, read } = await setUp(t);
  await snapshot.put(release(1, [large]));
  await snapshot.hold();
  // The successor knows no user of the large blob any more, and removes it.
  const successor = await open();
  for await (const _ of successor.load()) void _;
  await successor.put(release(2, [pool[0]!]));
  await successor.put(release(2, [pool[4]!], undefined, 'beta'));
  await successor.close();
  assert.deepEqual(await readdir(join(dir, 'blobs')), [sha256(pool[4]!)]);
  snapshot.resume();
  await snapshot.put(release(3, [large], []));
  // Of the blob that the successor wrote it knows, too.
  await snapshot.put(release(4, [pool[4]!], [], 'acme'));
  await snapshot.put(release(5, [pool[0]!]));
  await snapshot.flush();
  assert.deepEqual(await read(), { acme: [5, 5], beta: [2, 2] });
});

test('a folder that is given back at once is written again', async (t) => {
  const { snapshot, fetch, read } = await setUp(t);
  fetch.takes = () => wait(100);
  snapshot.save(release(1, [medium], []));
  const held = snapshot.hold();
  snapshot.resume();
  await held;
  await snapshot.put(release(2, [pool[0]!]));
  assert.deepEqual(await read(), { acme: [2, 2] });
});

test('a head that cannot be added because the disk cannot be read now is added later', async (t) => {
  const { dir, snapshot, read } = await setUp(t);
  await snapshot.put(release(1, [pool[0]!]));
  const file = join(dir, 'tenants', 'acme');
  await rename(file, join(dir, 'aside'));
  // A link to itself cannot be read, and is replaced in one step: no try meets a moment in which nothing is there.
  await symlink(file, file);
  snapshot.save(headOnly(2, 'same'));
  await until(() => snapshot.failures > 0);
  await rename(join(dir, 'aside'), file);
  await snapshot.flush();
  assert.deepEqual(await read(), { acme: [2, 1] });
});

/** Numbers in [0, n), the same for the same seed. */
function dice(seed: number) {
  let state = seed;
  return (n: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) % n;
  };
}

test('orders of all kinds, in any order and at any time, leave what the newest of each tenant said', async (t) => {
  for (let seed = 1; seed <= 6; seed++) {
    const roll = dice(seed);
    const { snapshot, open, fetch, read } = await setUp(t);
    let away = false;
    Object.assign(fetch, { takes: () => wait(roll(4)), fails: () => away || roll(5) === 0 });
    const expected: Record<string, [number, number | null]> = {};
    let seq = 0;
    const some = () => pool.filter(() => roll(2) === 0);
    const order = (into: Snapshot) => {
      const tenant = ['a', 'b', 'c'][roll(3)]!;
      seq++;
      const kind = roll(10);
      if (kind < 6) {
        const named = some();
        const saved = release(
          seq,
          named,
          named.filter(() => roll(3) > 0),
          tenant,
        );
        expected[tenant] = [seq, seq];
        if (kind < 4) return void into.put(saved);
        return into.save(saved);
      }
      if (kind < 8) {
        if (expected[tenant]) expected[tenant] = [seq, expected[tenant][1]];
        return into.save(headOnly(seq, 'same', tenant));
      }
      if (kind < 9) {
        expected[tenant] = [seq, null];
        return into.save(headOnly(seq, null, tenant));
      }
      delete expected[tenant];
      into.remove(tenant);
    };
    for (let handovers = 0; handovers < 2; handovers++) {
      for (let i = 0; i < 25; i++) {
        order(snapshot);
        if (roll(3) === 0) await wait(roll(4));
        if (roll(12) === 0) await snapshot.flush();
        away = roll(10) === 0;
      }
      // What is being fetched may fail yet.
      await snapshot.flush();
      fetch.fails = () => false;
      await snapshot.hold();
      const before = await read();
      assert.deepEqual(before, expected, `seed ${seed}: what a successor finds`);
      const successor = await open();
      for await (const _ of successor.load()) void _;
      for (let i = 0; i < roll(6); i++) order(successor);
      await successor.close();
      // It hears of releases, too; that it has older ones to write changes nothing.
      for (let i = 0; i < roll(3); i++) {
        const tenant = ['a', 'b', 'c'][roll(3)]!;
        seq++;
        expected[tenant] = [seq, seq];
        snapshot.save(release(seq, some(), undefined, tenant));
      }
      snapshot.resume();
      fetch.fails = () => roll(5) === 0;
    }
    await snapshot.flush();
    fetch.fails = () => false;
    await snapshot.flush();
    assert.deepEqual(await read(), expected, `seed ${seed}`);
  }
});
