/** Statements of one transaction that are sent without waiting for one another: one round trip for all of them. */
import { slices } from '@arcus/control/turns.ts';
import type { Connection, Pool } from 'mariadb';
import type { Prisma } from './generated/mysql/client.ts';

/** Statements on their way at the same time: many large ones shall not lie in memory all at once. */
const AHEAD = 16;

/** On MySQL and MariaDB. The first statement must find one row: false, and nothing was done, when it does not. */
export async function pipeline(pool: Pool, statements: Iterable<Prisma.Sql>): Promise<boolean> {
  const connection = await pool.getConnection();
  // Who waits for a statement hears of a lost connection.
  const deaf = () => {};
  connection.on('error', deaf);
  try {
    await begin(connection);
    let done = false;
    try {
      done = await send(connection, statements);
    } finally {
      await end(connection, done);
    }
    return done;
  } finally {
    connection.off('error', deaf);
    await connection.release();
  }
}

/**
 * Not by BEGIN: a deadlock ends the transaction while later statements are on their way already, and each of those would
 * then be committed by itself.
 */
async function begin(connection: Connection): Promise<void> {
  await Promise.all([
    connection.query('SET TRANSACTION ISOLATION LEVEL READ COMMITTED'),
    connection.query('SET autocommit = 0'),
  ]);
}

async function end(connection: Connection, commit: boolean): Promise<void> {
  try {
    await Promise.all([
      connection.query(commit ? 'COMMIT' : 'ROLLBACK'),
      // Ends what a statement after a deadlock may have begun: it would be committed.
      connection.query('SET autocommit = 1'),
    ]);
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

async function send(connection: Connection, statements: Iterable<Prisma.Sql>): Promise<boolean> {
  const sent: Promise<number>[] = [];
  const breathe = slices();
  let answered = 0;
  for (const statement of statements) {
    await breathe();
    if (sent.length - answered === AHEAD) {
      const found = await sent[answered];
      if (answered++ === 0 && found !== 1) break;
    }
    const result = connection
      .execute(...driverCall(statement))
      .then(({ affectedRows }: { affectedRows: number }) => affectedRows);
    // The first that fails is told of; the others must not go unheard.
    result.catch(() => {});
    sent.push(result);
  }
  // Whether the tenant was still as it was says more than what then went wrong.
  if ((await sent[0]) !== 1) {
    await Promise.allSettled(sent);
    return false;
  }
  for (const result of sent) await result;
  return true;
}

/** What the driver takes. */
export const driverCall = ({ sql, values }: Prisma.Sql): [string, unknown[]] => [sql, values.map(toDriver)];

/** As Prisma's adapter writes them: times are UTC. */
function toDriver(value: unknown): unknown {
  if (value instanceof Date) return value.toISOString().replace('T', ' ').replace('Z', '');
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return value;
}
