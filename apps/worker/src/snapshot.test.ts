import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { sha256 } from '@arcus/control/canonical.ts';
import { SCHEMA } from '@arcus/control/release.ts';
import { testHead } from '@arcus/testkit/keys.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until } from '@arcus/testkit/until.ts';
import pino from 'pino';
import { Snapshot } from './snapshot.ts';
import type { Loaded, Saved } from './snapshot-record.ts';

const log = pino({ level: 'silent' });

/** A made-up release with one blob of each size. */
function release(tenant: string, version: number, bodies: readonly Uint8Array[]): Saved {
  const blobs = new Map(bodies.map((body) => [sha256(body), body]));
  return {
    tenant,
    head: testHead(version, { tenant }),
    manifest: {
      ...{ schema: SCHEMA, tenant, version, checksum: '0'.repeat(64), author: '', message: '' },
      ...{ sections: [{ path: '/config/policies', blobs: [...blobs.keys()], list: true }] },
      created_at: new Date(0).toISOString(),
    },
    blobs,
  };
}

async function setUp(t: TestContext) {
  const { path: dir, close } = tempDir('snapshot');
  t.after(close);
  const fetched: string[] = [];
  const store = new Map<string, Uint8Array>();
  const open = () =>
    Snapshot.open({
      dir,
      log,
      // However slow the disk is, what waits for it waits to the end.
      patience: () => new Promise(() => {}),
      fetch: async (names) => {
        fetched.push(...names);
        return new Map(names.map((name) => [name, store.get(name)!]));
      },
    });
  const read = async () => {
    const all: Loaded[] = [];
    for await (const saved of (await open()).load()) all.push(saved);
    return all.sort((a, b) => (a.tenant < b.tenant ? -1 : 1));
  };
  return { dir, open, read, fetched, store };
}

const bodies = [randomBytes(100), randomBytes(5_000), randomBytes(40_000)];
const large = bodies[2]!;

test('what was saved is read back, byte for byte', async (t) => {
  const { open, read } = await setUp(t);
  const snapshot = await open();
  snapshot.save(release('acme', 1, bodies));
  snapshot.save(release('beta', 7, [large]));
  await snapshot.close();
  const [acme, beta] = await read();
  for (const body of bodies) assert.deepEqual(Buffer.from(acme!.blobs.get(sha256(body))!), body);
  assert.equal(beta?.head.stable.version, 7);
});

test('a change brings only its own blob; the rest is taken from what is there, or fetched when that is lost', async (t) => {
  const { dir, open, read, fetched, store } = await setUp(t);
  const snapshot = await open();
  snapshot.save(release('acme', 1, bodies));
  await snapshot.flush();
  const added = randomBytes(10);
  const two = release('acme', 2, [...bodies, added]);
  snapshot.save({ ...two, blobs: new Map([[sha256(added), added]]) });
  await snapshot.flush();
  assert.deepEqual(fetched, []);
  assert.equal((await read())[0]?.blobs.size, 4);

  await rm(join(dir, 'tenants', 'acme'));
  for (const body of [...bodies, added]) store.set(sha256(body), body);
  snapshot.save({ ...two, blobs: new Map() });
  await snapshot.close();
  assert.equal((await read())[0]?.blobs.size, 4);
});

test('large blobs that no tenant runs any more are removed, also those that a crash left', async (t) => {
  const { dir, open, read } = await setUp(t);
  const snapshot = await open();
  snapshot.save(release('acme', 1, [large]));
  snapshot.save(release('beta', 1, [large]));
  await snapshot.flush();
  snapshot.save(release('acme', 2, [randomBytes(3)]));
  await snapshot.flush();
  assert.deepEqual(await readdir(join(dir, 'blobs')), [sha256(large)]);
  snapshot.remove('beta');
  await snapshot.close();
  assert.deepEqual(await readdir(join(dir, 'blobs')), []);
  await writeFile(join(dir, 'blobs', sha256('left')), 'left');
  assert.equal((await read()).length, 1);
  assert.deepEqual(await readdir(join(dir, 'blobs')), []);
});

test('a file that was cut, altered or emptied is no release', async (t) => {
  const { dir, open, read } = await setUp(t);
  const snapshot = await open();
  for (const tenant of ['a', 'b', 'c', 'd']) snapshot.save(release(tenant, 1, bodies.slice(0, 2)));
  await snapshot.close();
  await writeFile(join(dir, 'tenants', 'a'), '');
  await writeFile(join(dir, 'tenants', 'b'), `${'0'.repeat(64)}\n{}\n`);
  await writeFile(join(dir, 'tenants', 'c'), randomBytes(64));
  assert.deepEqual(
    (await read()).map((saved) => saved.tenant),
    ['d'],
  );
});

test('a disk that takes nothing loses the old release rather than keeping it, and is tried again', async (t) => {
  const { dir, open, read, store } = await setUp(t);
  store.set(sha256(bodies[0]!), bodies[0]!);
  const snapshot = await open();
  snapshot.save(release('acme', 1, [large]));
  await snapshot.flush();
  // A folder where the temporary file would be: no write gets through, also not as root.
  await mkdir(join(dir, 'tenants', 'acme.tmp'));
  snapshot.save(release('acme', 2, [bodies[0]!]));
  await until(() => snapshot.failures > 0);
  await snapshot.flush();
  assert.deepEqual(await readdir(join(dir, 'tenants')), ['acme.tmp']);
  await rm(join(dir, 'tenants', 'acme.tmp'), { recursive: true });
  await until(() => snapshot.failures === 0, { deadline: 60_000 });
  await snapshot.close();
  assert.equal((await read())[0]?.head.stable.version, 2);
});

test('a newer head of the same release is kept with it; of a tenant that left, the head alone', async (t) => {
  const { dir, open, read } = await setUp(t);
  const snapshot = await open();
  snapshot.save(release('acme', 1, bodies));
  snapshot.save({ ...release('acme', 1, []), head: testHead(1, { seq: 8 }), manifest: 'same' });
  await snapshot.flush();
  snapshot.save({ ...release('acme', 1, []), head: testHead(1, { seq: 9 }), manifest: 'same' });
  await snapshot.flush();
  const [kept] = await read();
  assert.deepEqual([kept?.head.seq, kept?.manifest?.version, kept?.blobs.size], [9, 1, 3]);
  const head = testHead(1, { seq: 10, deleted: true });
  snapshot.save({ tenant: 'acme', head, manifest: null, blobs: new Map() });
  snapshot.save({ ...release('never', 1, []), manifest: 'same' });
  await snapshot.close();
  assert.deepEqual(await read(), [{ tenant: 'acme', head, manifest: null, blobs: new Map() }]);
  assert.deepEqual(await readdir(join(dir, 'blobs')), []);
});

test('a blob that was exchanged is no release, also when the checksum of the file was made to fit', async (t) => {
  const { dir, open, read } = await setUp(t);
  const snapshot = await open();
  snapshot.save(release('acme', 1, [Buffer.from('allow nothing')]));
  await snapshot.close();
  const file = join(dir, 'tenants', 'acme');
  const altered = (await readFile(file)).subarray(65).toString('latin1').replace('allow nothing', 'allow, all of');
  await writeFile(file, `${sha256(Buffer.from(altered, 'latin1'))}\n${altered}`, 'latin1');
  assert.deepEqual(await read(), []);
});

test('a release that is about to serve is there for whoever starts after a crash', async (t) => {
  const { dir, open, read } = await setUp(t);
  const snapshot = await open();
  snapshot.save(release('acme', 1, bodies));
  await snapshot.flush();
  await snapshot.put(release('acme', 2, [large, randomBytes(30_000)]));
  // Nobody waited for anything else: this is what a process finds whose predecessor was killed now.
  const [crashed] = await read();
  assert.deepEqual([crashed?.head.stable.version, crashed?.blobs.size], [2, 2]);
  await snapshot.put({ ...release('acme', 3, []), manifest: null });
  assert.equal((await read())[0]?.manifest, null);
  await snapshot.close();
  assert.deepEqual(await readdir(join(dir, 'tenants')), ['acme']);
  assert.deepEqual(await readdir(join(dir, 'blobs')), []);
});

test('a release that a power cut took leaves the one before', async (t) => {
  const { dir, open, read } = await setUp(t);
  const snapshot = await open();
  snapshot.save(release('acme', 1, bodies));
  await snapshot.close();
  const file = join(dir, 'tenants', 'acme');
  await rename(file, `${file}.old`);
  await writeFile(file, '');
  assert.equal((await read())[0]?.head.stable.version, 1);
});

test('a release that the disk did not take does not come back after a newer one that it took', async (t) => {
  const { dir, open, read } = await setUp(t);
  const snapshot = await open();
  snapshot.save(release('acme', 1, bodies.slice(0, 2)));
  await snapshot.flush();
  await mkdir(join(dir, 'tenants', 'acme.tmp'));
  await snapshot.put(release('acme', 2, bodies.slice(0, 2)));
  await snapshot.flush();
  assert.deepEqual(await read(), []);
  await rm(join(dir, 'tenants', 'acme.tmp'), { recursive: true });
  await snapshot.put(release('acme', 3, bodies.slice(0, 2)));
  await until(() => snapshot.failures === 0, { deadline: 60_000 });
  await snapshot.close();
  assert.equal((await read())[0]?.head.stable.version, 3);
});

test('a folder that was handed over is written no more, unless it is given back', async (t) => {
  const { open, read } = await setUp(t);
  const snapshot = await open();
  snapshot.save(release('acme', 1, bodies));
  await snapshot.hold();
  assert.equal((await read())[0]?.head.stable.version, 1);
  snapshot.save(release('acme', 2, bodies));
  await snapshot.flush();
  assert.equal((await read())[0]?.head.stable.version, 1);
  snapshot.resume();
  await snapshot.close();
  assert.equal((await read())[0]?.head.stable.version, 2);
});

test('of a worker that starts, what serves for the first time is written when all tenants had their turn', async (t) => {
  const { dir, open, read } = await setUp(t);
  const snapshot = await open();
  snapshot.gather();
  for (const tenant of ['a', 'b', 'c']) snapshot.save(release(tenant, 1, bodies));
  // What replaces a release that serves does not wait: had the others not, they would be there, too.
  await snapshot.put(release('acme', 2, bodies));
  assert.deepEqual(
    (await read()).map(({ tenant }) => tenant),
    ['acme'],
  );
  await snapshot.markWhole();
  assert.deepEqual(await readdir(join(dir, 'tenants')), ['a', 'acme', 'b', 'c']);
  await snapshot.close();
});

test('what many tenants share is brought once', async (t) => {
  const { open, read, fetched } = await setUp(t);
  const snapshot = await open();
  const shared = Buffer.from('[]');
  for (let i = 0; i < 20; i++) {
    const own = randomBytes(20);
    const blobs = new Map(i === 0 ? [[sha256(shared), shared]] : []);
    snapshot.save({ ...release(`t${i}`, 1, [own, shared]), blobs: blobs.set(sha256(own), own) });
  }
  await snapshot.close();
  assert.deepEqual(fetched, []);
  assert.deepEqual(new Set((await read()).map(({ blobs }) => blobs.size)), new Set([2]));
});
