import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempDir } from '@arcus/testkit/temp.ts';
import fc from 'fast-check';
import { createSealer, ensureSecretKeyFile, isSealed, loadSealer, SealError, type SealFault } from './seal.ts';

const key = randomBytes(32);
const place = 'acme/escapers/out/password';
const fault = (code: SealFault) => (error: unknown) => error instanceof SealError && error.code === code;

test('a secret comes back at its place, and the same secret is the same text', () => {
  const sealer = createSealer(key);
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string(), (secret, where) => {
      const sealed = sealer.seal(secret, where);
      assert.ok(isSealed(sealed));
      assert.equal(sealed, createSealer(key).seal(secret, where));
      assert.equal(sealer.unseal(sealed, where), secret);
    }),
  );
  assert.notEqual(sealer.seal('a', place), sealer.seal('a', `${place}2`));
  assert.notEqual(sealer.seal('a', place), sealer.seal('b', place));
});

test('a sealed secret copied to another place does not open', () => {
  const sealer = createSealer(key);
  const sealed = sealer.seal('s3cret', place);
  assert.throws(() => sealer.unseal(sealed, 'evil/escapers/out/password'), fault('refused'));
});

test('any altered character is noticed', () => {
  const sealer = createSealer(key);
  const characters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  // Three lengths: the last character of base64url holds 6, 2 or 4 bits, and another one may decode to the same bytes.
  for (const secret of ['s3cret!', 's3cret', 's3cre']) {
    const sealed = sealer.seal(secret, place);
    for (let i = 0; i < sealed.length; i++) {
      for (const other of i === sealed.length - 1 ? characters : 'AB') {
        if (other === sealed[i]) continue;
        const altered = sealed.slice(0, i) + other + sealed.slice(i + 1);
        assert.throws(() => sealer.unseal(altered, place), SealError, `${other} at ${i} of ${sealed}`);
      }
    }
  }
  const sealed = sealer.seal('s3cret!', place);
  for (const text of ['', 'sealed:v1:', 'sealed:v1:00000000:', 'sealed:v2:00000000:aaaa', sealed.slice(0, 40)]) {
    assert.equal(isSealed(text), false);
    assert.throws(() => sealer.unseal(text, place), fault('malformed'));
  }
});

test('an old key still opens after a change of keys; a lost one says so', () => {
  const old = createSealer(key);
  const sealed = old.seal('s', place);
  const next = createSealer(randomBytes(32), key);
  assert.equal(next.unseal(sealed, place), 's');
  assert.notEqual(next.kid, old.kid);
  assert.throws(() => createSealer(randomBytes(32)).unseal(sealed, place), fault('unknown_key'));
});

test('keys come from the environment or a file', async (t) => {
  const dir = tempDir('seal');
  t.after(dir.close);
  const file = join(dir.path, 'data', 'secret.key');
  await Promise.all(Array.from({ length: 8 }, () => ensureSecretKeyFile(file)));
  const text = readFileSync(file, 'utf8');
  await ensureSecretKeyFile(file);
  assert.equal(readFileSync(file, 'utf8'), text);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const fromFile = await loadSealer({ ARCUS_SECRET_KEY_FILE: file });
  const fromEnv = await loadSealer({ ARCUS_SECRET_KEY: text.trim() });
  assert.equal(fromEnv.unseal(fromFile.seal('x', place), place), 'x');
  writeFileSync(file, 'short');
  for (const env of [
    {},
    { ARCUS_SECRET_KEY: 'AAAA' },
    { ARCUS_SECRET_KEY_FILE: file },
    { ARCUS_SECRET_KEY_FILE: '/none' },
    { ARCUS_SECRET_KEY: text, ARCUS_SECRET_KEY_FILE: file },
  ]) {
    await assert.rejects(loadSealer(env), fault('bad_key'));
  }
});
