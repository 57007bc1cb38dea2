/**
 * Sealed secrets: `sealed:v1:<key id>:<base64url of nonce + ciphertext + tag>`, AES-256-GCM. The nonce is made from
 * the secret and its place (as SIV does, RFC 5297 §1.3.1), so that the same secret at the same place is the same bytes:
 * a configuration that did not change stays the same release. The place is associated data: a sealed value that was
 * copied elsewhere does not open.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { link, mkdir, open, readFile, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';

const PREFIX = 'sealed:v1:';
const SEALED = /^sealed:v1:([0-9a-f]{8}):([A-Za-z0-9_-]{38,})$/;
const NONCE = 12;
const TAG = 16;

export type SealFault =
  /** Not of the form `sealed:v1:…`. */
  | 'malformed'
  /** Sealed with a key that is not at hand. */
  | 'unknown_key'
  /** Altered, or sealed for another place. */
  | 'refused'
  /** The key itself is missing or not 32 bytes of base64. */
  | 'bad_key';

/** Why a secret could not be sealed or opened; never holds the secret. */
export class SealError extends Error {
  readonly code: SealFault;
  constructor(code: SealFault, message: string) {
    super(message);
    this.name = 'SealError';
    this.code = code;
  }
}

export interface Sealer {
  /** The id of the key that seals: 8 hex digits. */
  readonly kid: string;
  /** `place` is `<tenant>/<family>/<name>/<field path>`. Same secret and place: same result. */
  seal(secret: string, place: string): string;
  /** The secret; throws SealError. */
  unseal(sealed: string, place: string): string;
}

/** Whether a text has the form of a sealed secret; it may still fail to open. */
export function isSealed(value: string): boolean {
  return value.startsWith(PREFIX) && SEALED.test(value);
}

/** Where the secret key comes from: one of the two. */
export const SecretEnv = z.object({
  ARCUS_SECRET_KEY: z
    .string()
    .optional()
    .describe('32 bytes in base64. Several, separated by commas: the first seals, all of them open'),
  ARCUS_SECRET_KEY_FILE: z.string().optional().describe('A file that holds what ARCUS_SECRET_KEY would'),
});
export type SecretEnv = z.output<typeof SecretEnv>;

/** Keys as objects: given as bytes, each seal would make them anew, which costs four times as much. */
interface Key {
  id: string;
  encrypt: KeyObject;
  nonce: KeyObject;
}

/** `keys`: 32 bytes each; the first seals, all of them open (for a change of keys). */
export function createSealer(...keys: readonly Uint8Array[]): Sealer {
  const ring = new Map(keys.map(derive).map((key) => [key.id, key]));
  const first = ring.values().next().value;
  if (!first) throw new SealError('bad_key', 'no secret key');
  return {
    kid: first.id,
    seal(secret, place) {
      const plain = Buffer.from(secret, 'utf8');
      const aad = Buffer.from(place, 'utf8');
      // The length keeps place and secret apart: no other pair gives the same input.
      const nonce = createHmac('sha256', first.nonce)
        .update(`${aad.length}:`)
        .update(aad)
        .update(plain)
        .digest()
        .subarray(0, NONCE);
      const cipher = createCipheriv('aes-256-gcm', first.encrypt, nonce).setAAD(aad);
      const body = Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
      return `${PREFIX}${first.id}:${body.toString('base64url')}`;
    },
    unseal(sealed, place) {
      const match = SEALED.exec(sealed);
      if (!match) throw new SealError('malformed', `not a sealed secret at ${place}`);
      const key = ring.get(match[1]!);
      if (!key) throw new SealError('unknown_key', `${place} is sealed with key ${match[1]}, which is not at hand`);
      const body = Buffer.from(match[2]!, 'base64url');
      // The last character may hold bits that decoding drops (RFC 4648 §3.5): only the text that seal() writes is taken.
      if (body.toString('base64url') !== match[2]) throw new SealError('refused', altered(place));
      try {
        const decipher = createDecipheriv('aes-256-gcm', key.encrypt, body.subarray(0, NONCE), { authTagLength: TAG })
          .setAAD(Buffer.from(place, 'utf8'))
          .setAuthTag(body.subarray(body.length - TAG));
        const plain = decipher.update(body.subarray(NONCE, body.length - TAG));
        return Buffer.concat([plain, decipher.final()]).toString('utf8');
      } catch {
        throw new SealError('refused', altered(place));
      }
    },
  };
}

const altered = (place: string): string => `the secret at ${place} was altered or sealed for another place`;

/** The sealer that the environment names; throws SealError 'bad_key'. */
export async function loadSealer(env: SecretEnv): Promise<Sealer> {
  if (env.ARCUS_SECRET_KEY && env.ARCUS_SECRET_KEY_FILE) {
    throw new SealError('bad_key', 'ARCUS_SECRET_KEY and ARCUS_SECRET_KEY_FILE are both set: keep one');
  }
  if (env.ARCUS_SECRET_KEY) return createSealer(...parseKeys(env.ARCUS_SECRET_KEY, 'ARCUS_SECRET_KEY'));
  const file = env.ARCUS_SECRET_KEY_FILE;
  if (!file) throw new SealError('bad_key', 'neither ARCUS_SECRET_KEY nor ARCUS_SECRET_KEY_FILE is set');
  try {
    return createSealer(...parseKeys(await readFile(file, 'utf8'), file));
  } catch (error) {
    if (error instanceof SealError) throw error;
    throw new SealError('bad_key', `cannot read the secret key: ${(error as Error).message}`);
  }
}

/** Makes a key file (mode 0600) unless it exists already; safe when several processes do it at once. */
export async function ensureSecretKeyFile(file: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const draft = `${file}.${randomBytes(6).toString('hex')}`;
  const handle = await open(draft, 'wx', 0o600);
  try {
    await handle.writeFile(`${randomBytes(32).toString('base64')}\n`);
    await handle.sync();
    // A link, not a rename: it never replaces a key that secrets are sealed with.
    await link(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await handle.close();
    await unlink(draft);
  }
}

function parseKeys(text: string, source: string): Buffer[] {
  return text
    .split(/[\s,]+/)
    .filter((part) => part !== '')
    .map((part) => {
      const key = Buffer.from(part, 'base64');
      if (key.length !== 32) throw new SealError('bad_key', `${source}: a key is 32 bytes in base64`);
      return key;
    });
}

function derive(master: Uint8Array): Key {
  if (master.length !== 32) throw new SealError('bad_key', 'a secret key has 32 bytes');
  const part = (use: string) =>
    createSecretKey(Buffer.from(hkdfSync('sha256', master, '', `arcus seal v1 ${use}`, 32)));
  return {
    id: createHash('sha256').update('arcus seal v1 id').update(master).digest('hex').slice(0, 8),
    encrypt: part('encrypt'),
    nonce: part('nonce'),
  };
}
