import { createHash, randomBytes } from 'node:crypto';
import { type Db, Prisma } from '../../db/open.ts';
import type { Actor, Role } from '../../plugins/auth.ts';
import { audit } from '../audit/record.ts';

/** The token as its bearer sends it: `arcus_` and 256 random bits. Its SHA-256 is all that is stored. */
export const newToken = (): string => `arcus_${randomBytes(32).toString('base64url')}`;
export const hashToken = (token: string): string => createHash('sha256').update(token).digest('hex');

export interface NewToken {
  /** Shown in audit events as the actor. */
  name: string;
  role: Role;
  /** Needed for `tenant`, may be for `viewer`, never for `admin`. */
  tenant_id?: string | null;
  expires_at?: Date | null;
  /** Who makes it, and in which request. */
  created_by: string;
  request_id?: string;
}

export interface CreatedToken {
  /** Shown this once. */
  token: string;
  row: Prisma.ApiTokenModel;
}

/** Makes a token. Throws Prisma's P2003 when its tenant does not exist. */
export async function createToken(db: Db, wanted: NewToken, now = Date.now()): Promise<CreatedToken> {
  const token = newToken();
  const at = new Date(now);
  const tenant_id = wanted.tenant_id ?? null;
  const row = await db.write(async (tx) => {
    const made = await tx.apiToken.create({
      data: {
        token_id: randomBytes(9).toString('base64url'),
        name: wanted.name,
        role: wanted.role,
        tenant_id,
        hash: hashToken(token),
        created_by: wanted.created_by,
        created_at: at,
        expires_at: wanted.expires_at ?? null,
        revoked_at: null,
        last_used_at: null,
      },
    });
    const { token_id, name, role, expires_at } = made;
    await audit(
      tx,
      {
        tenant_id: tenant_id ?? '',
        actor: wanted.created_by,
        action: 'token.create',
        target: `tokens/${token_id}`,
        before: null,
        after: { name, role, tenant_id, expires_at: expires_at?.toISOString() ?? null },
        version: null,
        request_id: wanted.request_id ?? '',
      },
      at,
    );
    return made;
  });
  return { token, row };
}

/** A first admin token when there is none that works: the token, or null when there is one already. */
export async function ensureAdminToken(db: Db, name = 'first admin', now = Date.now()): Promise<string | null> {
  const found = await db.client.apiToken.findFirst({
    where: { role: 'admin', revoked_at: null, OR: [{ expires_at: null }, { expires_at: { gt: new Date(now) } }] },
    select: { token_id: true },
  });
  if (found) return null;
  return (await createToken(db, { name, role: 'admin', created_by: 'arcus' }, now)).token;
}

/** `last_used_at` moves forward at most this often. */
const COARSE_MS = 60_000;

/** Whom a token belongs to; null for one that is unknown, expired or revoked. */
export async function verifyToken(
  db: Db,
  token: string,
  now: number,
  onError: (error: unknown) => void,
): Promise<Actor | null> {
  const [hash, at] = [hashToken(token), new Date(now)];
  const [row] = await db.query<Actor & { unused: number | bigint }>(Prisma.sql`
    SELECT token_id, name, role, tenant_id,
           last_used_at IS NULL OR last_used_at <= ${new Date(now - COARSE_MS)} AS unused
    FROM api_tokens WHERE hash = ${hash} AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ${at})`);
  if (!row) return null;
  if (Number(row.unused) === 1) {
    // Nobody waits for it, and two requests at once write the same.
    db.write((tx) => tx.apiToken.updateMany({ where: { hash }, data: { last_used_at: at } })).catch(onError);
  }
  return { token_id: row.token_id, name: row.name, role: row.role, tenant_id: row.tenant_id };
}
