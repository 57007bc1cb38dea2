import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Db } from '@arcus/api/db/open.ts';
import { createToken, verifyToken } from '@arcus/api/features/tokens/store.ts';
import { writePrivate } from './private-file.ts';

/**
 * The token of this installation's owner, kept in the data folder (0600) for `ready.json` and the command `arcus`.
 * Made the first time, and again when it was revoked.
 */
export async function adminToken(data: string, db: Db): Promise<{ value: string; made: boolean }> {
  const file = join(data, 'admin.token');
  const kept = read(file);
  if (kept !== '' && (await verifyToken(db, kept, Date.now(), () => {})) !== null) return { value: kept, made: false };
  const { token } = await createToken(db, { name: 'arcus up', role: 'admin', created_by: 'arcus up' });
  writePrivate(file, `${token}\n`);
  return { value: token, made: true };
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}
