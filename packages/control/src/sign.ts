/**
 * Signed heads. A head names its manifest by hash and that names its blobs by hash, so one signature speaks for all of a
 * release: who can write to the store, and has not the key, cannot make a worker run anything, nor anything older.
 * Ed25519 (RFC 8032) over the canonical JSON of the head without its signature.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { link, mkdir, open, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { canonical } from './canonical.ts';
import { type Head, HeadBody } from './release.ts';

/** Where the management service has its signing key from: one of the two. */
export const SigningEnv = z.object({
  ARCUS_SIGNING_KEY: z
    .string()
    .optional()
    .describe('Ed25519 private key that signs heads, PEM (PKCS #8); line breaks may be written as \\n'),
  ARCUS_SIGNING_KEY_FILE: z.string().optional().describe('A file that holds what ARCUS_SIGNING_KEY would'),
});
export type SigningEnv = z.output<typeof SigningEnv>;

/** Where a worker has the keys from that it believes: one of the two. */
export const VerifyEnv = z.object({
  ARCUS_VERIFY_KEYS: z
    .string()
    .optional()
    .describe('Ed25519 public keys whose heads are believed, PEM (SPKI), one after another; line breaks may be \\n'),
  ARCUS_VERIFY_KEYS_FILE: z.string().optional().describe('A file that holds what ARCUS_VERIFY_KEYS would'),
});
export type VerifyEnv = z.output<typeof VerifyEnv>;

/** A key is missing, or is none; names the variable, never holds the key. */
export class KeyError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'KeyError';
  }
}

export interface Signer {
  /** Id of the key: 16 hex digits. */
  readonly key: string;
  /** PEM of the public key. */
  readonly publicKey: string;
  /** The same head gives the same signature. Throws for one that no worker could read. */
  sign(head: HeadBody): Head;
}

export interface Verifier {
  /** Ids of the keys that are believed. */
  readonly keys: readonly string[];
  /** Why this head is not to be believed as `tenant`'s; null when it is. Checked beside the event loop. */
  check(head: Head, tenant: string): Promise<string | null>;
}

/** `pem`: one private key. Throws KeyError. */
export function createSigner(pem: string, source = 'the signing key'): Signer {
  const privateKey = parse(() => createPrivateKey(pem), source, 'private');
  const publicKey = createPublicKey(privateKey);
  const key = keyId(publicKey);
  return {
    key,
    publicKey: spkiPem(publicKey),
    sign(body) {
      const head = HeadBody.parse(body);
      const value = sign(null, bytesOf(head), privateKey).toString('base64url');
      return { ...head, signature: { key, value } };
    },
  };
}

const verifyBeside = promisify(verify);

/** `pem`: one or more public keys. Throws KeyError. */
export function createVerifier(pem: string, source = 'the verify keys'): Verifier {
  const blocks = pem.match(/-----BEGIN [^-]+-----[^-]*-----END [^-]+-----/g) ?? [];
  if (blocks.length === 0) throw new KeyError(`${source}: there is no PEM in it`);
  const ring = new Map<string, KeyObject>();
  for (const block of blocks) {
    if (block.includes('PRIVATE')) throw new KeyError(`${source}: a private key has no place there, only public ones`);
    const key = parse(() => createPublicKey(block), source, 'public');
    ring.set(keyId(key), key);
  }
  return {
    keys: [...ring.keys()],
    async check(head, tenant) {
      if (head.tenant !== tenant) return `it is signed for the tenant "${head.tenant}"`;
      const { signature, ...body } = head;
      const key = ring.get(signature.key);
      if (!key) return `it is signed with the key ${signature.key}, which is none of ${[...ring.keys()].join(', ')}`;
      const good = await verifyBeside(null, bytesOf(body), key, Buffer.from(signature.value, 'base64url'));
      return good ? null : 'its signature is wrong: it was altered, or made by somebody else';
    },
  };
}

/** The signer that the environment names. Throws KeyError that names the variables. */
export async function loadSigner(env: SigningEnv): Promise<Signer> {
  const found = await given('ARCUS_SIGNING_KEY', env.ARCUS_SIGNING_KEY, env.ARCUS_SIGNING_KEY_FILE);
  return createSigner(found.text, found.source);
}

/**
 * The verifier that the environment names, which also believes `own`; with that it needs no other key. Throws KeyError
 * that names the variables.
 */
export async function loadVerifier(env: VerifyEnv, own?: Signer): Promise<Verifier> {
  if (own && !env.ARCUS_VERIFY_KEYS && !env.ARCUS_VERIFY_KEYS_FILE) return createVerifier(own.publicKey);
  const found = await given('ARCUS_VERIFY_KEYS', env.ARCUS_VERIFY_KEYS, env.ARCUS_VERIFY_KEYS_FILE);
  return createVerifier(own ? `${own.publicKey}\n${found.text}` : found.text, found.source);
}

/** A new pair, PEM both. */
export function generateKeys(): { signingKey: string; verifyKey: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    signingKey: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    verifyKey: spkiPem(publicKey),
  };
}

/**
 * Makes a signing key (mode 0600) unless there is one, and beside it the file of its public key. Safe when several
 * processes do it at once. Answers whether the key is new.
 */
export async function ensureKeyFiles(signingFile: string, verifyFile: string): Promise<{ made: boolean; key: string }> {
  await mkdir(dirname(signingFile), { recursive: true });
  const draft = `${signingFile}.${process.pid}.tmp`;
  const handle = await open(draft, 'w', 0o600);
  let made = true;
  try {
    await handle.writeFile(generateKeys().signingKey);
    await handle.sync();
    // A link, not a rename: it never replaces a key that workers know.
    await link(draft, signingFile);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    made = false;
  } finally {
    await handle.close();
    await unlink(draft);
  }
  const { key, publicKey } = createSigner(await readFile(signingFile, 'utf8'), signingFile);
  const verifyDraft = `${verifyFile}.${process.pid}.tmp`;
  await writeFile(verifyDraft, publicKey, { mode: 0o644 });
  await rename(verifyDraft, verifyFile);
  return { made, key };
}

async function given(name: string, text: string | undefined, file: string | undefined) {
  if (text && file) throw new KeyError(`${name} and ${name}_FILE are both set: keep one`);
  if (text) return { text: text.replaceAll('\\n', '\n'), source: name };
  if (!file) throw new KeyError(`${name} or ${name}_FILE must be set: "arcus keygen" makes a pair of keys`);
  try {
    return { text: await readFile(file, 'utf8'), source: `${name}_FILE` };
  } catch (error) {
    throw new KeyError(`${name}_FILE cannot be read: ${(error as Error).message}`);
  }
}

function parse(make: () => KeyObject, source: string, what: 'private' | 'public'): KeyObject {
  let key: KeyObject;
  try {
    key = make();
  } catch {
    // The reason of the library may hold part of the key.
    throw new KeyError(`${source}: this is no ${what} key in PEM`);
  }
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new KeyError(`${source}: an Ed25519 key is needed, this is ${key.asymmetricKeyType}`);
  }
  return key;
}

const spkiPem = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }) as string;

const keyId = (key: KeyObject): string =>
  createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex')
    .slice(0, 16);

const bytesOf = (body: HeadBody): Buffer => Buffer.from(canonical(body));
