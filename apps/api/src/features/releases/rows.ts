/** A document's config objects and users as rows, and back. */
import { sameJson } from '@arcus/gateway/canonical.ts';
import type { AnyObject, Config } from '@arcus/gateway/config.ts';
import { emptyConfig } from '@arcus/gateway/config.ts';
import { type Family, families } from '@arcus/gateway/kind.ts';
import { type Client, type Db, Prisma, type Tx } from '../../db/open.ts';
import { byName, diffList, holdsUsers, objectsOf, type StaticUser, withFamily } from './document.ts';

/** What a write does to the rows of a tenant. */
export interface RowChanges {
  resources: {
    put: { family: Family; object: AnyObject; created: boolean }[];
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
export function rowChanges(old: Config, next: Config): RowChanges {
  const changes: RowChanges = { resources: { put: [], removed: [] }, users: { put: [], removed: [] } };
  for (const family of families) {
    const diff = diffList(objectsOf(old, family), objectsOf(next, family));
    for (const { before, after } of diff.put) {
      const users = diffList(usersOf(before), usersOf(after));
      for (const put of users.put) changes.users.put.push({ group: after.name, user: put.after, created: !put.before });
      for (const removed of users.removed) changes.users.removed.push(removed.name);
      if (before && usersOnly(before, after)) continue;
      changes.resources.put.push({ family, object: after, created: !before });
    }
    for (const object of diff.removed) {
      changes.resources.removed.push({ family, name: object.name });
      for (const user of usersOf(object)) changes.users.removed.push(user.name);
    }
  }
  // A user that moved to another group is one row that changes, not one that goes and one that comes.
  const gone = new Set(changes.users.removed);
  for (const put of changes.users.put) if (put.created && gone.delete(put.user.name)) put.created = false;
  changes.users.removed = [...gone];
  return changes;
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

export async function writeRows(
  db: Pick<Db, 'kind'>,
  tx: Tx,
  tenant_id: string,
  changes: RowChanges,
  revision: number,
  at: Date,
): Promise<void> {
  const common = { revision, updated_at: at };
  for (const { family, name } of changes.resources.removed) {
    await tx.resource.deleteMany({ where: { tenant_id, family, name } });
  }
  const created = changes.resources.put.filter((put) => put.created);
  for (const part of chunks(created, CHUNK)) {
    await tx.resource.createMany({
      data: part.map(({ family, object }) => ({
        ...{ tenant_id, family, name: object.name, created_at: at },
        ...resourceColumns(object),
        ...common,
      })),
    });
  }
  for (const { family, object } of changes.resources.put.filter((put) => !put.created)) {
    const { type, enabled, config } = resourceColumns(object);
    await tx.$executeRaw`UPDATE resources
      SET type = ${type}, enabled = ${enabled ? 1 : 0}, config = ${JSON.stringify(config)}, revision = ${revision},
          updated_at = ${at}
      WHERE tenant_id = ${tenant_id} AND family = ${family} AND name = ${object.name}`;
  }
  for (const part of chunks(changes.users.removed, CHUNK)) {
    await tx.user.deleteMany({ where: { tenant_id, username: { in: part } } });
  }
  // Many changed users are quicker replaced than updated one by one; they keep when they were made.
  const updated = changes.users.put.filter((put) => !put.created);
  const born = new Map<string, Date>();
  if (updated.length > 10) {
    for (const part of chunks(updated, CHUNK)) {
      const username = { in: part.map((put) => put.user.name) };
      const rows = await tx.user.findMany({
        where: { tenant_id, username },
        select: { username: true, created_at: true },
      });
      for (const row of rows) born.set(row.username, row.created_at);
      await tx.user.deleteMany({ where: { tenant_id, username } });
    }
  } else {
    for (const { group, user } of updated) {
      await tx.user.updateMany({
        where: { tenant_id, username: user.name },
        data: { ...userColumns(group, user), ...common },
      });
    }
  }
  const inserts = updated.length > 10 ? changes.users.put : changes.users.put.filter((put) => put.created);
  for (const part of chunks(inserts, CHUNK)) {
    const rows = part.map(({ group, user }) => ({
      ...{ tenant_id, username: user.name, created_at: born.get(user.name) ?? at },
      ...userColumns(group, user),
      ...common,
    }));
    if (rows.length > 50) await insertUsers(db, tx, rows);
    else await tx.user.createMany({ data: rows });
  }
}

/** Many users in one statement with one parameter: several times as fast as a parameter for each column. */
async function insertUsers(db: Pick<Db, 'kind'>, tx: Tx, rows: Prisma.UserCreateManyInput[]): Promise<void> {
  const json = JSON.stringify(
    rows.map((row) => ({
      ...row,
      blocked: row.blocked ? 1 : 0,
      config: JSON.stringify(row.config),
      created_at: sqlTime(db.kind, row.created_at as Date),
      updated_at: sqlTime(db.kind, row.updated_at as Date),
    })),
  );
  const columns = Prisma.raw(
    'tenant_id, username, user_group, blocked, credential, config, revision, created_at, updated_at',
  );
  if (db.kind === 'mysql') {
    await tx.$executeRaw`INSERT INTO users (${columns}) SELECT ${columns} FROM JSON_TABLE(${json}, '$[*]' COLUMNS (
      tenant_id VARCHAR(63) PATH '$.tenant_id', username VARCHAR(255) PATH '$.username',
      user_group VARCHAR(63) PATH '$.user_group', blocked INT PATH '$.blocked',
      credential VARCHAR(16) PATH '$.credential', config LONGTEXT PATH '$.config', revision INT PATH '$.revision',
      created_at DATETIME(3) PATH '$.created_at', updated_at DATETIME(3) PATH '$.updated_at')) AS rows_`;
  } else {
    const fields = ['tenant_id', 'username', 'user_group', 'blocked', 'credential', 'config', 'revision'];
    const values = Prisma.raw([...fields, 'created_at', 'updated_at'].map((f) => `value ->> '${f}'`).join(', '));
    await tx.$executeRaw`INSERT INTO users (${columns}) SELECT ${values} FROM json_each(${json})`;
  }
}

/** As the drivers write times: UTC both. */
const sqlTime = (kind: Db['kind'], at: Date): string =>
  kind === 'mysql' ? at.toISOString().replace('T', ' ').replace('Z', '') : at.toISOString().replace('Z', '+00:00');

function* chunks<T>(list: readonly T[], size: number): Generator<T[]> {
  for (let from = 0; from < list.length; from += size) yield list.slice(from, from + size);
}

const resourceColumns = (object: AnyObject) => ({
  type: object.type,
  enabled: object.enabled,
  config: withoutUsers(object) as unknown as Prisma.InputJsonObject,
});

const userColumns = (group: string, user: StaticUser) => ({
  user_group: group,
  blocked: user.blocked ?? false,
  credential: credentialOf(user),
  config: user as unknown as Prisma.InputJsonObject,
});

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
