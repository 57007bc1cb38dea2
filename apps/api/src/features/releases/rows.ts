/** A document's config objects and users as rows, and back. */
import { sameJson } from '@arcus/gateway/canonical.ts';
import type { AnyObject, Config } from '@arcus/gateway/config.ts';
import { emptyConfig } from '@arcus/gateway/config.ts';
import { type Family, families } from '@arcus/gateway/kind.ts';
import { run, type Steps } from '@arcus/gateway/slices.ts';
import { type Client, type Db, Prisma, type Tx } from '../../db/open.ts';
import { byName, holdsUsers, objectsOf, type StaticUser, withFamily } from './document.ts';
import { diffing } from './share.ts';

/** What a write does to the rows of a tenant. */
export interface RowChanges {
  resources: {
    put: {
      family: Family;
      object: AnyObject;
      /** Its row's JSON; a user group's has no users, which are rows of their own. */
      json: string;
      created: boolean;
    }[];
    removed: { family: Family; name: string }[];
  };
  users: { put: { group: string; user: StaticUser; created: boolean }[]; removed: string[] };
}

/** A user group's row holds no users: they are rows of their own. */
export function withoutUsers(object: AnyObject): AnyObject {
  if (!holdsUsers(object)) return object;
  const { static_users: _, ...rest } = object;
  return rest as AnyObject;
}

export const credentialOf = (user: StaticUser): 'argon2id' | 'sha1' | 'none' =>
  user.password_hash !== undefined ? 'argon2id' : user.token !== undefined ? 'sha1' : 'none';

/** Which rows differ between two configs that share what is equal (`share`). */
export const rowChanges = (old: Config, next: Config): RowChanges => run(changingRows(old, next));

export function* changingRows(old: Config, next: Config): Steps<RowChanges> {
  const changes: RowChanges = { resources: { put: [], removed: [] }, users: { put: [], removed: [] } };
  for (const family of families) {
    const diff = yield* diffing(objectsOf(old, family), objectsOf(next, family));
    for (const { before, after } of diff.put) {
      const users = yield* diffing(usersOf(before), usersOf(after));
      for (const [i, put] of users.put.entries()) {
        changes.users.put.push({ group: after.name, user: put.after, created: !put.before });
        if (i % PAUSE === PAUSE - 1) yield;
      }
      for (const removed of users.removed) changes.users.removed.push(removed.name);
      if (before && usersOnly(before, after)) continue;
      const json = yield* stringifying(withoutUsers(after));
      changes.resources.put.push({ family, object: after, json, created: !before });
    }
    for (const object of diff.removed) {
      changes.resources.removed.push({ family, name: object.name });
      for (const user of usersOf(object)) changes.users.removed.push(user.name);
    }
  }
  // A user that moved to another group is one row that changes, not one that goes and one that comes.
  const gone = new Set(changes.users.removed);
  if (gone.size > 0) {
    for (const put of changes.users.put) if (put.created && gone.delete(put.user.name)) put.created = false;
    changes.users.removed = [...gone];
  }
  return changes;
}

/** Items handled between two pauses. */
const PAUSE = 2048;

/** As JSON.stringify: long lists in parts. */
function* stringifying(object: object): Steps<string> {
  const fields: string[] = [];
  for (const [key, value] of Object.entries(object)) {
    if (value === undefined) continue;
    let json: string;
    if (Array.isArray(value) && value.length > PAUSE) {
      const parts: string[] = [];
      for (let from = 0; from < value.length; from += PAUSE) {
        parts.push(JSON.stringify(value.slice(from, from + PAUSE)).slice(1, -1));
        yield;
      }
      json = `[${parts.join(',')}]`;
    } else json = JSON.stringify(value);
    fields.push(`${JSON.stringify(key)}:${json}`);
  }
  return `{${fields.join(',')}}`;
}

const usersOf = (object: AnyObject | undefined): readonly StaticUser[] =>
  object && holdsUsers(object) ? object.static_users : [];

/** Did nothing but the users change? */
function usersOnly(before: AnyObject, after: AnyObject): boolean {
  if (!holdsUsers(before) || !holdsUsers(after) || before.static_users === after.static_users) return false;
  const [a, b] = [before as unknown as Record<string, unknown>, after as unknown as Record<string, unknown>];
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  keys.delete('static_users');
  return [...keys].every((key) => sameJson(a[key], b[key]));
}

/** Rows of one statement: far from the databases' limits on parameters and packets. */
const CHUNK = 500;
/** More users than that go in one parameter: several times as fast as a parameter for each column. */
const FEW_USERS = 10;

/** Brings a tenant's rows to where `changes` says. */
export function* rowStatements(
  kind: Db['kind'],
  tenant_id: string,
  changes: RowChanges,
  revision: number,
  at: Date,
): Generator<Prisma.Sql> {
  const { resources, users } = changes;
  for (const family of families) {
    const names = resources.removed.filter((object) => object.family === family).map(({ name }) => name);
    for (const part of chunks(names, CHUNK)) {
      yield Prisma.sql`DELETE FROM resources
        WHERE tenant_id = ${tenant_id} AND family = ${family} AND name IN (${Prisma.join(part)})`;
    }
  }
  for (const part of chunks(
    resources.put.filter((put) => put.created),
    CHUNK,
  )) {
    const rows = part.map(({ family, object, json }) => {
      const { name, type, enabled } = object;
      return Prisma.sql`(${tenant_id}, ${family}, ${name}, ${type}, ${enabled ? 1 : 0}, ${json}, ${revision}, ${at}, ${at})`;
    });
    yield Prisma.sql`INSERT INTO resources
      (tenant_id, family, name, type, enabled, config, revision, created_at, updated_at) VALUES ${Prisma.join(rows)}`;
  }
  for (const { family, object, json, created } of resources.put) {
    if (created) continue;
    const { name, type, enabled } = object;
    yield Prisma.sql`UPDATE resources
      SET type = ${type}, enabled = ${enabled ? 1 : 0}, config = ${json},
          revision = ${revision}, updated_at = ${at}
      WHERE tenant_id = ${tenant_id} AND family = ${family} AND name = ${name}`;
  }
  for (const part of chunks(users.removed, CHUNK)) {
    yield Prisma.sql`DELETE FROM users WHERE tenant_id = ${tenant_id} AND username IN (${Prisma.join(part)})`;
  }
  for (const part of chunks(users.put, CHUNK)) {
    yield part.length > FEW_USERS
      ? putManyUsers(kind, tenant_id, part, revision, at)
      : putUsers(kind, tenant_id, part, revision, at);
  }
}

export async function writeRows(
  db: Pick<Db, 'kind'>,
  tx: Tx,
  tenant_id: string,
  changes: RowChanges,
  revision: number,
  at: Date,
): Promise<void> {
  for (const statement of rowStatements(db.kind, tenant_id, changes, revision, at)) await tx.$executeRaw(statement);
}

const userColumns = Prisma.raw(
  'tenant_id, username, user_group, blocked, credential, config, revision, created_at, updated_at',
);

type UserPut = RowChanges['users']['put'][number];

function putUsers(kind: Db['kind'], tenant_id: string, users: readonly UserPut[], revision: number, at: Date) {
  const rows = users.map(({ group, user }) => {
    const blocked = user.blocked ? 1 : 0;
    return Prisma.sql`(${tenant_id}, ${user.name}, ${group}, ${blocked}, ${credentialOf(user)}, ${JSON.stringify(user)},
      ${revision}, ${at}, ${at})`;
  });
  return Prisma.sql`INSERT INTO users (${userColumns}) VALUES ${Prisma.join(rows)} ${replacesUsers(kind)}`;
}

function putManyUsers(kind: Db['kind'], tenant_id: string, users: readonly UserPut[], revision: number, at: Date) {
  const json = JSON.stringify(
    users.map(({ group, user }) => ({
      ...{ n: user.name, g: group, b: user.blocked ? 1 : 0, c: credentialOf(user), o: JSON.stringify(user) },
    })),
  );
  if (kind === 'mysql') {
    return Prisma.sql`INSERT INTO users (${userColumns})
      SELECT ${tenant_id}, n, g, b, c, o, ${revision}, ${at}, ${at} FROM JSON_TABLE(${json}, '$[*]' COLUMNS (
        n VARCHAR(255) PATH '$.n', g VARCHAR(63) PATH '$.g', b INT PATH '$.b', c VARCHAR(16) PATH '$.c',
        o LONGTEXT PATH '$.o')) AS rows_ ${replacesUsers(kind)}`;
  }
  // Without WHERE SQLite takes ON CONFLICT for the condition of a join.
  return Prisma.sql`INSERT INTO users (${userColumns})
    SELECT ${tenant_id}, value ->> 'n', value ->> 'g', value ->> 'b', value ->> 'c', value ->> 'o', ${revision}, ${at}, ${at}
    FROM json_each(${json}) WHERE true ${replacesUsers(kind)}`;
}

/** A user that is there already keeps when it was made. */
function replacesUsers(kind: Db['kind']): Prisma.Sql {
  const set = ['user_group', 'blocked', 'credential', 'config', 'revision', 'updated_at'];
  return kind === 'mysql'
    ? Prisma.raw(`ON DUPLICATE KEY UPDATE ${set.map((name) => `${name} = VALUES(${name})`).join(', ')}`)
    : Prisma.raw(
        `ON CONFLICT (tenant_id, username) DO UPDATE SET ${set.map((name) => `${name} = excluded.${name}`).join(', ')}`,
      );
}

function* chunks<T>(list: readonly T[], size: number): Generator<T[]> {
  for (let from = 0; from < list.length; from += size) yield list.slice(from, from + size);
}

/** The raw document that a tenant's rows are; it still has to be parsed. */
export async function readRows(client: Client, tenant_id: string): Promise<Record<Family, unknown[]>> {
  const resources = await client.resource.findMany({ where: { tenant_id }, select: { family: true, config: true } });
  const users = new Map<string, unknown[]>();
  let after = '';
  for (;;) {
    const rows = await client.user.findMany({
      where: { tenant_id, username: { gt: after } },
      orderBy: { username: 'asc' },
      take: 5000,
      select: { username: true, user_group: true, config: true },
    });
    for (const row of rows) {
      const list = users.get(row.user_group);
      if (list) list.push(row.config);
      else users.set(row.user_group, [row.config]);
    }
    if (rows.length < 5000) break;
    after = rows.at(-1)!.username;
  }
  let config = emptyConfig();
  for (const family of families) {
    const objects = resources.filter((row) => row.family === family).map((row) => row.config as unknown as AnyObject);
    if (family !== 'user_groups') config = withFamily(config, family, objects.sort(byName));
    else {
      const groups = objects.map((group) => {
        const own = users.get(group.name);
        return own ? { ...group, static_users: own } : group;
      });
      config = withFamily(config, family, groups.sort(byName));
    }
  }
  return config as unknown as Record<Family, unknown[]>;
}
