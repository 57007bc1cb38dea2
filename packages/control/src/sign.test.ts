import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { newKeys, testHead, testKeys } from '@arcus/testkit/keys.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { Head } from './release.ts';
import { createVerifier, ensureKeyFiles, KeyError, loadSigner, loadVerifier } from './sign.ts';

test('a head that was signed is believed, also after it went through a store', async () => {
  const { verifier, signer } = testKeys();
  const head = testHead(3);
  assert.equal(await verifier.check(head, 'acme'), null);
  assert.equal(await verifier.check(Head.parse(JSON.parse(JSON.stringify(head))), 'acme'), null);
  assert.equal(signer.key, head.signature.key);
  assert.deepEqual(testHead(3), head, 'the same head gives the same bytes');
});

test('a head that was altered, is of another tenant or by another key is not believed', async () => {
  const { verifier } = testKeys();
  const head = testHead(3);
  assert.match((await verifier.check({ ...head, seq: 4 }, 'acme')) ?? '', /altered/);
  const stable = { ...head.stable, manifest: '0'.repeat(64) };
  assert.match((await verifier.check({ ...head, stable }, 'acme')) ?? '', /altered/);
  assert.match((await verifier.check({ ...head, deleted: true }, 'acme')) ?? '', /altered/);
  assert.match((await verifier.check(head, 'beta')) ?? '', /tenant "acme"/);
  const { signature: _, ...body } = head;
  assert.match((await verifier.check(newKeys().signer.sign(body), 'acme')) ?? '', /none of/);
  const value = newKeys().signer.sign(body).signature.value;
  assert.match((await verifier.check({ ...head, signature: { ...head.signature, value } }, 'acme')) ?? '', /wrong/);
  assert.equal(Head.safeParse(body).success, false, 'unsigned');
});

test('while keys are changed both are believed', async () => {
  const [old, next] = [newKeys(), newKeys()];
  const { signature: _, ...body } = testHead(1);
  const verifier = createVerifier(old.env.ARCUS_VERIFY_KEYS + next.env.ARCUS_VERIFY_KEYS);
  assert.deepEqual(verifier.keys, [old.signer.key, next.signer.key]);
  for (const { signer } of [old, next]) assert.equal(await verifier.check(signer.sign(body), 'acme'), null);
});

test('keys come from the environment or from files, and what is wrong names the variable', async (t) => {
  const dir = tempDir('keys');
  t.after(dir.close);
  const [signing, verify] = [join(dir.path, 'signing.key'), join(dir.path, 'signing.pub')];
  const first = await ensureKeyFiles(signing, verify);
  assert.equal(statSync(signing).mode & 0o777, 0o600);
  assert.deepEqual(await ensureKeyFiles(signing, verify), { made: false, key: first.key });
  const signer = await loadSigner({ ARCUS_SIGNING_KEY_FILE: signing });
  assert.equal(signer.key, first.key);
  assert.deepEqual((await loadVerifier({ ARCUS_VERIFY_KEYS_FILE: verify })).keys, [signer.key]);
  const oneLine = readFileSync(signing, 'utf8').replaceAll('\n', '\\n');
  assert.equal((await loadSigner({ ARCUS_SIGNING_KEY: oneLine })).key, signer.key);

  const refused = (pattern: RegExp) => (error: unknown) =>
    error instanceof KeyError && pattern.test(error.message) && !error.message.includes('MC4CAQ');
  await assert.rejects(loadSigner({}), refused(/ARCUS_SIGNING_KEY or ARCUS_SIGNING_KEY_FILE must be set.*keygen/));
  await assert.rejects(loadVerifier({}), refused(/ARCUS_VERIFY_KEYS or ARCUS_VERIFY_KEYS_FILE must be set.*keygen/));
  await assert.rejects(loadVerifier({ ARCUS_VERIFY_KEYS_FILE: '/none' }), refused(/ARCUS_VERIFY_KEYS_FILE cannot/));
  await assert.rejects(loadSigner({ ARCUS_SIGNING_KEY: 'x', ARCUS_SIGNING_KEY_FILE: 'y' }), refused(/both set/));
  await assert.rejects(loadSigner({ ARCUS_SIGNING_KEY: 'x' }), refused(/no private key/));
  const key = readFileSync(signing, 'utf8');
  await assert.rejects(loadVerifier({ ARCUS_VERIFY_KEYS: key }), refused(/private key has no place/));
});

test('what no worker could read is not signed', () => {
  const { signature: _, ...body } = testHead(3);
  const { signer } = newKeys();
  const rollout = { ...body.stable, version: 4, id: 'r-1', subset: {} };
  assert.throws(() => signer.sign({ ...body, rollout }), /needs percent or labels/);
  assert.throws(() => signer.sign({ ...body, seq: 0 }), /seq/);
});
