/** Keys for tests, and releases and heads signed with them. */
import { sha256 } from '@arcus/control/canonical.ts';
import { type BlobSource, manifestHash, moveHead, putRelease } from '@arcus/control/publish.ts';
import { type Head, type HeadBody, type Manifest, SCHEMA } from '@arcus/control/release.ts';
import { createSigner, createVerifier, generateKeys, type Signer, type Verifier } from '@arcus/control/sign.ts';
import type { ConfigStore } from '@arcus/control/store.ts';

export interface TestKeys {
  readonly signer: Signer;
  readonly verifier: Verifier;
  /** For processes: the api needs the first, workers the second. */
  readonly env: { readonly ARCUS_SIGNING_KEY: string; readonly ARCUS_VERIFY_KEYS: string };
}

/** A pair of its own. */
export function newKeys(): TestKeys {
  const { signingKey, verifyKey } = generateKeys();
  return {
    signer: createSigner(signingKey),
    verifier: createVerifier(verifyKey),
    env: { ARCUS_SIGNING_KEY: signingKey, ARCUS_VERIFY_KEYS: verifyKey },
  };
}

let kept: TestKeys | undefined;

/** The pair of this process's tests, the same each time. */
export function testKeys(): TestKeys {
  kept ??= newKeys();
  return kept;
}

/** A signed head that names no release that exists; `seq` is the version unless said. */
export function testHead(version: number, more: Partial<HeadBody> = {}): Head {
  const stable = { version, manifest: sha256(`manifest ${version}`) };
  return testKeys().signer.sign({ schema: SCHEMA, tenant: 'acme', seq: version, stable, ...more });
}

/** The head of a release, to be signed. `seq` is the version unless said. */
export function headOf(manifest: Manifest, more: Partial<HeadBody> = {}): HeadBody {
  const { tenant, version } = manifest;
  return { schema: SCHEMA, tenant, seq: version, stable: { version, manifest: manifestHash(manifest) }, ...more };
}

/** Puts a release into a store and moves its tenant's head there, as the management service would. */
export async function publishRelease(
  store: ConfigStore,
  manifest: Manifest,
  blobs: ReadonlyMap<string, Uint8Array> | BlobSource,
  more: Partial<HeadBody> = {},
  keys: TestKeys = testKeys(),
): Promise<'published' | 'superseded'> {
  await putRelease(store, manifest, blobs);
  return moveHead(store, keys.signer.sign(headOf(manifest, more)), keys.verifier);
}
