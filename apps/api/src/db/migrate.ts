/**
 * Applies the migrations in prisma/migrations/{mysql,sqlite}, in Prisma's folder layout, and keeps Prisma's own
 * `_prisma_migrations` table, so that `prisma migrate deploy` stays usable where its engine can run.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeFolder } from '@arcus/control/folder.ts';
import { PrismaLibSql } from '@prisma/adapter-libsql';
import { type Connection, createConnection } from 'mariadb';
import { type DatabaseUrl, parseDatabaseUrl } from './url.ts';

export interface Migration {
  /** Folder's name, `<timestamp>_<name>`. */
  name: string;
  sql: string;
  /** SHA-256 of migration.sql. */
  checksum: string;
}

interface Applied {
  migration_name: string;
  checksum: string;
  finished_at: unknown;
}

/** What a runner needs of a database. */
interface Target {
  applied(): Promise<Applied[]>;
  /** Runs the script and records it; false when another process was faster, throws when it fails. */
  apply(migration: Migration): Promise<boolean>;
}

const folder = join(dirname(fileURLToPath(import.meta.url)), '../../../../prisma/migrations');

/**
 * Brings the database to the newest migration; makes it when it does not exist. Safe to call at the same time from
 * several processes, and again. Answers the names of what it applied. Throws when an applied migration was edited,
 * or an earlier one stopped half-way (MySQL has no transactional DDL).
 */
export async function migrate(databaseUrl: string, dir = folder): Promise<string[]> {
  const url = parseDatabaseUrl(databaseUrl);
  const migrations = readMigrations(join(dir, url.kind));
  return url.kind === 'sqlite' ? onSqlite(url.path, migrations) : onMysql(url, migrations);
}

/** The migrations of a folder, oldest first. */
export function readMigrations(dir: string): Migration[] {
  return readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort()
    .map((name) => {
      const sql = readFileSync(join(dir, name, 'migration.sql'), 'utf8');
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    });
}

async function run(target: Target, migrations: Migration[]): Promise<string[]> {
  const applied = new Map((await target.applied()).map((row) => [row.migration_name, row]));
  const done: string[] = [];
  for (const migration of migrations) {
    const row = applied.get(migration.name);
    if (row) {
      if (row.checksum !== migration.checksum) throw new Error(`migration ${migration.name} was edited after it ran`);
      if (row.finished_at === null) {
        throw new Error(
          `migration ${migration.name} stopped half-way: repair the tables, then delete or finish its row`,
        );
      }
      continue;
    }
    if (await target.apply(migration)) done.push(migration.name);
  }
  return done;
}

async function onSqlite(path: string, migrations: Migration[]): Promise<string[]> {
  makeFolder(dirname(path));
  const db = await new PrismaLibSql({ url: `file:${path}`, timeout: 30_000 }).connect();
  try {
    await db.executeScript(`CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
      "id" TEXT PRIMARY KEY NOT NULL, "checksum" TEXT NOT NULL, "finished_at" DATETIME, "migration_name" TEXT NOT NULL,
      "logs" TEXT, "rolled_back_at" DATETIME, "started_at" DATETIME NOT NULL DEFAULT current_timestamp,
      "applied_steps_count" INTEGER UNSIGNED NOT NULL DEFAULT 0)`);
    const applied = async () => {
      const sql = `SELECT migration_name, checksum, finished_at FROM "_prisma_migrations" WHERE rolled_back_at IS NULL`;
      const { rows } = await db.queryRaw({ sql, args: [], argTypes: [] });
      return rows.map(
        ([migration_name, checksum, finished_at]) => ({ migration_name, checksum, finished_at }) as Applied,
      );
    };
    return await run(
      {
        applied,
        async apply(migration) {
          try {
            // One script, one transaction: a half-applied migration can't be.
            await db.executeScript(`BEGIN IMMEDIATE;\n${migration.sql}\n;
              INSERT INTO "_prisma_migrations" (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
              VALUES ('${randomUUID()}', '${migration.checksum}', '${migration.name}',
                ${Date.now()}, ${Date.now()}, 1);\nCOMMIT;`);
            return true;
          } catch (error) {
            if ((await applied()).some((row) => row.migration_name === migration.name)) return false;
            throw error;
          }
        },
      },
      migrations,
    );
  } finally {
    await db.dispose();
  }
}

async function onMysql(url: Extract<DatabaseUrl, { kind: 'mysql' }>, migrations: Migration[]): Promise<string[]> {
  const db = await connect(url);
  try {
    const [lock] = await db.query('SELECT GET_LOCK(?, 120) AS got', [`arcus_migrate:${url.database}`.slice(0, 64)]);
    if (Number(lock.got) !== 1) throw new Error('another process has been migrating this database for two minutes');
    await db.query(`CREATE TABLE IF NOT EXISTS _prisma_migrations (
      id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at DATETIME(3),
      migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at DATETIME(3),
      started_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), applied_steps_count INTEGER UNSIGNED NOT NULL DEFAULT 0
    ) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci`);
    return await run(
      {
        applied: () =>
          db.query(
            'SELECT migration_name, checksum, finished_at FROM _prisma_migrations WHERE rolled_back_at IS NULL',
          ) as Promise<Applied[]>,
        async apply(migration) {
          const id = randomUUID();
          await db.query('INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES (?, ?, ?)', [
            id,
            migration.checksum,
            migration.name,
          ]);
          try {
            await db.query(migration.sql);
          } catch (error) {
            await db.query('UPDATE _prisma_migrations SET logs = ? WHERE id = ?', [String(error), id]);
            throw error;
          }
          await db.query(
            'UPDATE _prisma_migrations SET finished_at = CURRENT_TIMESTAMP(3), applied_steps_count = 1 WHERE id = ?',
            [id],
          );
          return true;
        },
      },
      migrations,
    );
  } finally {
    // Ends the lock too.
    await db.end();
  }
}

async function connect(url: Extract<DatabaseUrl, { kind: 'mysql' }>): Promise<Connection> {
  const { connectionLimit: _, acquireTimeout: __, ...options } = url.config;
  const config = { ...options, multipleStatements: true };
  try {
    return await createConnection(config);
  } catch (error) {
    if ((error as { code?: string }).code !== 'ER_BAD_DB_ERROR') throw error;
  }
  const { database, ...server } = config;
  const db = await createConnection(server);
  try {
    await db.query(`CREATE DATABASE IF NOT EXISTS \`${database}\` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`);
  } finally {
    await db.end();
  }
  return createConnection(config);
}
