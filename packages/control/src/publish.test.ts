import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headOf, newKeys, publishRelease, testHead, testKeys } from '@arcus/testkit/keys.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { canonicalHash } from './canonical.ts';
import { openStore } from './open.ts';
import { loadRelease, manifestHash, moveHead } from './publish.ts';
import { type Manifest, SCHEMA } from './release.ts';
import { cut } from './sections.ts';
import type { ConfigStore } from './store.ts';

async function release(version: number, servers: unknown[]) {
  const document = { tenant: { tenant_id: 'acme' }, config: { servers, escapers: [] } };
  const { sections, blobs, checksum } = await cut(document);
  const manifest: Manifest = {
    schema: SCHEMA,
    tenant: 'acme',
    version,
    sections,
    checksum,
    author: 'me',
    message: '',
    created_at: '2026-01-01T00:00:00Z',
  };
  return { document, manifest, blobs };
}

async function openTemp(t: { after(fn: () => unknown): void }): Promise<ConfigStore> {
  const dir = tempDir('publish');
  const store = await openStore(`file:${dir.path}`);
  t.after(async () => {
    await store.close();
    dir.close();
  });
  return store;
}

test('a published release is what workers load', async (t) => {
  const store = await openTemp(t);
  const { document, manifest, blobs } = await release(1, [{ name: 'a' }]);
  assert.equal(await publishRelease(store, manifest, blobs), 'published');
  const now = await store.getHead('acme');
  assert.equal(now?.head.stable.manifest, manifestHash(manifest));
  const loaded = await loadRelease(store, 'acme', now!.head.stable);
  assert.deepEqual(loaded, { manifest, document });
  assert.equal(canonicalHash(loaded.manifest.sections), manifest.checksum);
});

test('publishing may die between any two steps and be repeated', async (t) => {
  const steps = ['missingBlobs', 'putBlob', 'putManifest', 'getHead', 'putHead'] as const;
  for (const after of [false, true]) {
    for (const step of steps) {
      const store = await openTemp(t);
      const { document, manifest, blobs } = await release(1, [{ name: step }]);
      const dying = Object.create(store, {
        [step]: {
          value: async (...args: never[]) => {
            if (after) await (store[step] as (...args: never[]) => Promise<unknown>)(...args);
            throw new Error('killed');
          },
        },
      }) as ConfigStore;
      await assert.rejects(publishRelease(dying, manifest, blobs), /killed/);
      await publishRelease(store, manifest, blobs);
      const now = await store.getHead('acme');
      assert.deepEqual((await loadRelease(store, 'acme', now!.head.stable)).document, document);
    }
  }
});

test('an older release never replaces a newer one, whoever comes last', async (t) => {
  const store = await openTemp(t);
  const releases = await Promise.all(Array.from({ length: 12 }, (_, index) => release(index + 1, [{ name: index }])));
  await Promise.all(releases.map(({ manifest, blobs }) => publishRelease(store, manifest, blobs)));
  assert.equal((await store.getHead('acme'))?.head.stable.version, 12);
  assert.equal(await publishRelease(store, releases[3]!.manifest, releases[3]!.blobs), 'superseded');
  assert.equal((await store.getHead('acme'))?.head.stable.version, 12);
});

test('a second release sends only what changed', async (t) => {
  const store = await openTemp(t);
  const first = await release(1, [{ name: 'a' }]);
  await publishRelease(store, first.manifest, first.blobs);
  const second = await release(2, [{ name: 'b' }]);
  const asked: string[] = [];
  await publishRelease(store, second.manifest, async (names) => {
    asked.push(...names);
    return second.blobs;
  });
  assert.equal(asked.length, 1);
});

test('a manifest that is not the one the head names is refused', async (t) => {
  const store = await openTemp(t);
  const { manifest, blobs } = await release(1, []);
  await publishRelease(store, manifest, blobs);
  const ref = { version: 1, manifest: 'a'.repeat(64) };
  await assert.rejects(loadRelease(store, 'acme', ref), /altered/);
  await assert.rejects(loadRelease(store, 'acme', { ...ref, version: 2 }), /missing/);
});

test('what nobody signed, or somebody else did, does not keep a head from its place', async (t) => {
  const store = await openTemp(t);
  const { manifest, blobs } = await release(1, []);
  await store.putHead('acme', newKeys().signer.sign(headOf(manifest, { seq: 1_000 })), null);
  assert.equal(await publishRelease(store, manifest, blobs), 'published');
  const { signer, verifier } = testKeys();
  assert.equal(await moveHead(store, testHead(1), verifier), 'superseded');
  const next = newKeys();
  const both = { check: async (...args: Parameters<typeof verifier.check>) => verifier.check(...args) };
  assert.equal(await moveHead(store, next.signer.sign(headOf(manifest)), { ...both, keys: [] }), 'published');
  assert.notEqual((await store.getHead('acme'))?.head.signature.key, signer.key, 'signed anew with the new key');
});
