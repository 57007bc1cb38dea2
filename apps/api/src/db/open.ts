import { dirname } from 'node:path';
import { makeFolder } from '@arcus/control/folder.ts';
import { PrismaLibSql } from '@prisma/adapter-libsql';
import { PrismaMariaDb } from '@prisma/adapter-mariadb';
import { createPool, SqlError } from 'mariadb';
import { driverCall, pipeline } from './batch.ts';
import { PrismaClient as MysqlClient, Prisma } from './generated/mysql/client.ts';
import { PrismaClient as SqliteClient } from './generated/sqlite/client.ts';
import { Mutex } from './mutex.ts';
import { parseDatabaseUrl } from './url.ts';

/** The two generated clients have the same models; the code is written against MySQL's types. */
export type Client = MysqlClient;
export type Tx = Prisma.TransactionClient;
export { Prisma };

/** The database of the management service. */
export interface Db {
  readonly kind: 'mysql' | 'sqlite';
  /** For reads outside of transactions. */
  readonly client: Client;
  /**
   * Runs `work` in one transaction. `work` may run more than once (deadlock, lost connection before its first
   * statement): it must do nothing but use `tx`. On SQLite there is one writer at a time.
   */
  write<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /**
   * Runs statements in one transaction, on MySQL without waiting for one another. The first must find one row: false,
   * and nothing was done, when it does not. `statements` may be called more than once, as `work` of `write`.
   */
  batch(statements: () => Iterable<Prisma.Sql>): Promise<boolean>;
  /** One statement outside of transactions, for what each request asks: rows as the database has them, by column. */
  query<Row extends object>(statement: Prisma.Sql): Promise<Row[]>;
  /** As `query`; answers how many rows it changed. */
  execute(statement: Prisma.Sql): Promise<number>;
  close(): Promise<void>;
}

/** Tries of a transaction that lost a deadlock. */
const attempts = 5;

/** Opens the database; connects on first use. `url` as ARCUS_DATABASE_URL. */
export async function openDb(url: string): Promise<Db> {
  const parsed = parseDatabaseUrl(url);
  // A large import holds its transaction long; waiting writers queue in this process before they take a connection.
  const transactionOptions = { maxWait: 30_000, timeout: 120_000 };
  if (parsed.kind === 'mysql') {
    const pool = createPool(parsed.config);
    const client = new MysqlClient({ adapter: new PrismaMariaDb(pool), transactionOptions });
    return {
      kind: 'mysql',
      client,
      // READ COMMITTED: what is read after a lock was waited for must be what its holder wrote.
      write: (work) => retried(() => client.$transaction(work, { isolationLevel: 'ReadCommitted' })),
      batch: (statements) => retried(() => pipeline(pool, statements())),
      query: (statement) => pool.execute(...driverCall(statement)),
      execute: async (statement) => (await pool.execute(...driverCall(statement))).affectedRows,
      async close() {
        await client.$disconnect();
        await pool.end();
      },
    };
  }
  makeFolder(dirname(parsed.path));
  const adapter = new PrismaLibSql({ url: `file:${parsed.path}`, timeout: 10_000 });
  const client = new SqliteClient({ adapter, transactionOptions }) as unknown as Client;
  await client.$queryRawUnsafe('PRAGMA journal_mode = WAL');
  const writer = new Mutex();
  const write: Db['write'] = (work) => {
    const locked = async (tx: Tx) => {
      // Writes nothing, but makes this the one writer before it reads: a transaction that reads first and writes
      // later fails when another process (`arcus token create`) wrote in between.
      await tx.$executeRaw`UPDATE listen_ports SET port = port WHERE port = -1`;
      return work(tx);
    };
    return writer.run(() => retried(() => client.$transaction(locked)));
  };
  return {
    kind: 'sqlite',
    client,
    write,
    batch: (statements) =>
      write(async (tx) => {
        let first = true;
        for (const statement of statements()) {
          const found = await tx.$executeRaw(statement);
          if (first && found !== 1) return false;
          first = false;
        }
        return true;
      }),
    query: (statement) => client.$queryRaw(statement),
    execute: (statement) => client.$executeRaw(statement),
    close: () => client.$disconnect(),
  };
}

async function retried<T>(run: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run();
    } catch (error) {
      // Write conflict or deadlock: the transaction was rolled back whole.
      if (attempt === attempts || !isConflict(error)) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20 * attempt));
    }
  }
}

/** What the driver said, below Prisma's error or by itself. */
function driverCause(error: unknown): { kind?: unknown; originalCode?: unknown } {
  if (error instanceof SqlError) {
    const kind = error.errno === 1213 ? 'TransactionWriteConflict' : error.fatal ? 'ConnectionClosed' : undefined;
    return { kind, originalCode: String(error.errno) };
  }
  const { meta } = error as { meta?: { driverAdapterError?: { cause?: object } } };
  return meta?.driverAdapterError?.cause ?? {};
}

const isConflict = (error: unknown): boolean =>
  isPrismaError(error, 'P2034') || driverCause(error).kind === 'TransactionWriteConflict';

/** Could the database not be reached, or had it no connection free in time? */
export function isAway(error: unknown): boolean {
  // P1001, P1002, P1017: no or a lost connection. P2024, P2028: none free. 45028: the pool got none in time.
  return (
    ['P1001', 'P1002', 'P1017', 'P2024', 'P2028'].some((code) => isPrismaError(error, code)) ||
    driverCause(error).originalCode === '45028' ||
    ['DatabaseNotReachable', 'ConnectionClosed', 'SocketTimeout'].includes(String(driverCause(error).kind))
  );
}

/** Is `error` Prisma's with this code? By shape: each generated client has its own class. */
export function isPrismaError(error: unknown, code: string): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === code;
}
