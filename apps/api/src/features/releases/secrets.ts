/** Nothing secret is stored in clear: passwords become hashes, secrets are sealed, before anything else sees them. */

import type { Sealer } from '@arcus/control/seal.ts';
import { slices } from '@arcus/control/turns.ts';
import type { AnyObject, Config } from '@arcus/gateway/config.ts';
import { type Fault, pointer } from '@arcus/gateway/fault.ts';
import { HASHES, hashLimiter } from '@arcus/gateway/hash_limiter.ts';
import { type Family, families } from '@arcus/gateway/kind.ts';
import { hashPassword, verifyPassword } from '@arcus/gateway/password.ts';
import { mapSecrets } from '@arcus/gateway/secrets.ts';
import { runSliced } from '@arcus/gateway/slices.ts';
import {
  find,
  holdsUsers,
  indexOf,
  objectsOf,
  type StaticUser,
  type WithUsers,
  withFamily,
  withItem,
} from './document.ts';
import { diffing } from './share.ts';

export const isSealed = (value: string): boolean => value.startsWith('sealed:');

/** Users sealed before the event loop may turn. */
const SLICE = 50;

/**
 * `next` with every new password hashed and every new secret sealed; what did not change since `old` is not touched.
 * Faults name sealed values that were sealed for another place, or with another key; pointers are into `next`.
 */
export async function protect(
  sealer: Sealer,
  tenant: string,
  old: Config,
  next: Config,
): Promise<{ config: Config; faults: Fault[] }> {
  const faults: Fault[] = [];
  let config = next;
  for (const family of families) {
    const diff = await runSliced(diffing(objectsOf(old, family), objectsOf(next, family)));
    let objects = objectsOf(next, family);
    for (const { before, after } of diff.put) {
      const hashed = holdsUsers(after) ? await hashUsers(sealer, tenant, before, after) : after;
      const at = pointer(family, objectsOf(next, family).indexOf(after));
      const sealed = await sealObject(sealer, tenant, family, before, hashed, at, faults);
      if (sealed !== after) objects = withItem(objects, sealed);
    }
    if (objects !== objectsOf(next, family)) config = withFamily(config, family, objects);
  }
  return { config, faults };
}

async function sealObject(
  sealer: Sealer,
  tenant: string,
  family: Family,
  before: AnyObject | undefined,
  object: AnyObject,
  at: string,
  faults: Fault[],
): Promise<AnyObject> {
  const seal = (value: string, place: string): string => {
    if (!isSealed(value)) return sealer.seal(value, `${tenant}/${place}`);
    try {
      sealer.unseal(value, `${tenant}/${place}`);
    } catch {
      const message = 'was sealed for another place or with another key: send it in clear, and it is sealed here';
      faults.push({ pointer: at + fieldPointer(object, place.split('/').slice(2)), message, code: 'unsealable' });
    }
    return value;
  };
  if (!holdsUsers(object)) return mapSecrets(family, object, seal);
  // Of 100,000 users only those that changed are looked at.
  const put = await newUsers(before, object);
  const users = object.static_users.slice();
  const breathe = slices();
  for (let from = 0; from < put.length; from += SLICE) {
    const part = put.slice(from, from + SLICE);
    const sealed = mapSecrets(family, { ...object, static_users: part } as WithUsers, seal);
    for (const [i, user] of sealed.static_users.entries()) {
      if (user !== part[i]) users[indexOf(users, user.name)] = user;
    }
    await breathe();
  }
  const bare = mapSecrets(family, { ...object, static_users: [] } as WithUsers, seal);
  return { ...bare, static_users: users } as WithUsers;
}

/** Users that are not in the group before, or are others there. */
async function newUsers(before: AnyObject | undefined, group: WithUsers): Promise<StaticUser[]> {
  const old = before && holdsUsers(before) ? before.static_users : [];
  return (await runSliced(diffing(old, group.static_users))).put.map(({ after }) => after);
}

/** The pointer of a place's field path: items of lists go by name there, by index in a pointer. */
function fieldPointer(object: unknown, path: string[]): string {
  let value = object as any;
  let result = '';
  for (const step of path) {
    const index = Array.isArray(value) ? value.findIndex((item) => item?.name === step) : -1;
    const key = index >= 0 ? index : step;
    result += pointer(key);
    value = value?.[key];
  }
  return result;
}

/** A user's hash stays when the password is the one that it had: the same file pushed twice makes no new release. */
async function hashUsers(
  sealer: Sealer,
  tenant: string,
  before: AnyObject | undefined,
  group: WithUsers,
): Promise<WithUsers> {
  const clear = (await newUsers(before, group)).filter((user) => user.password !== undefined);
  if (clear.length === 0) return group;
  const old = before && holdsUsers(before) ? before.static_users : [];
  const done = new Map<string, StaticUser>();
  const queue = clear.values();
  // Of one write no more wait than could run: its next password comes after those of others, who wait for less.
  const turn = { tenant, part: queue };
  const work = async () => {
    for (const user of queue) {
      const { password, token: _, ...rest } = user;
      const known = find(old, user.name)?.password_hash;
      const place = `${tenant}/user_groups/${group.name}/static_users/${user.name}/password_hash`;
      const check = () => matches(() => sealer.unseal(known!, place), password!);
      const same = known !== undefined && (await hashLimiter.run(turn, check));
      const password_hash = same ? known : await hashLimiter.run(turn, () => hashPassword(password!));
      done.set(user.name, { ...rest, password_hash });
    }
  };
  await Promise.all(Array.from({ length: Math.min(HASHES, clear.length) }, work));
  const users = group.static_users.slice();
  for (const user of done.values()) users[indexOf(users, user.name)] = user;
  return { ...group, static_users: users } as WithUsers;
}

async function matches(hash: () => string, password: string): Promise<boolean> {
  try {
    return await verifyPassword(hash(), password);
  } catch {
    return false;
  }
}

/** A copy for an audit event: secrets are named, not shown. */
export function redact(value: unknown): unknown {
  if (typeof value === 'string') return isSealed(value) || value.startsWith('$argon2') ? '[secret]' : value;
  if (Array.isArray(value)) return value.map(redact);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, v]) => [key, key === 'password' ? '[secret]' : redact(v)]),
  );
}
