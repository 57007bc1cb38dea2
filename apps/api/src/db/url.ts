import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { resolve } from 'node:path';
import type { PoolConfig } from 'mariadb';

/** What ARCUS_DATABASE_URL says, parsed once. */
export type DatabaseUrl =
  | { kind: 'sqlite'; path: string }
  | { kind: 'mysql'; database: string; config: PoolConfig & { database: string } };

/**
 * `file:<path>` is SQLite, `mysql://user:password@host:port/database` MySQL or MariaDB. MySQL parameters:
 * `connections` (default 10), `tls` (`true`: verified against the system's authorities, or a PEM file to verify
 * against), `socket` (a Unix socket's path), `public_key` (`true`: MySQL 8 may send its RSA key for a password over
 * plain TCP; only on a network that is trusted). Throws an Error that names what is wrong, never the password.
 */
export function parseDatabaseUrl(text: string): DatabaseUrl {
  if (text.startsWith('file:')) {
    const path = decodeURIComponent(text.slice('file:'.length).replace(/^\/\/(?=\/)/, ''));
    if (path === '') throw new Error('the database URL names no file');
    return { kind: 'sqlite', path: resolve(path) };
  }
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Error('the database URL is neither file:<path> nor mysql://user:password@host:port/database');
  }
  if (url.protocol !== 'mysql:' && url.protocol !== 'mariadb:') {
    throw new Error(`the database URL's scheme ${url.protocol} is neither file: nor mysql:`);
  }
  const database = decodeURIComponent(url.pathname.slice(1));
  if (database === '' || /[`/\0]/.test(database)) throw new Error('the database URL must name one database');
  const known = ['connections', 'tls', 'socket', 'public_key'];
  for (const name of url.searchParams.keys()) {
    if (!known.includes(name))
      throw new Error(`the database URL has an unknown parameter ${name}: ${known.join(', ')}`);
  }
  const connections = Number(url.searchParams.get('connections') ?? 10);
  if (!Number.isInteger(connections) || connections < 2 || connections > 1000) {
    throw new Error('the database URL: connections must be 2 to 1000');
  }
  const tls = url.searchParams.get('tls');
  const socket = url.searchParams.get('socket');
  return {
    kind: 'mysql',
    database,
    config: {
      ...(socket ? { socketPath: socket } : address(url.hostname.replace(/^\[|\]$/g, ''), Number(url.port || 3306))),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
      database,
      // Said in the handshake, as the tables compare text. Without it the driver sends SET NAMES on each new connection,
      // and when the server goes away just then it leaves a rejected promise to nobody, which ends the process.
      collation: 'UTF8MB4_BIN',
      connectionLimit: connections,
      // Statements that each write sends are prepared once per connection: the adapter's default is to prepare, run and
      // close each of them every time.
      prepareCacheLength: 128,
      // Errors are logged; what a statement was given may be secret.
      logParam: false,
      connectTimeout: 5000,
      acquireTimeout: 10_000,
      allowPublicKeyRetrieval: url.searchParams.get('public_key') === 'true',
      ...(tls === null ? {} : { ssl: tls === 'true' ? true : { ca: readFileSync(tls, 'utf8') } }),
    },
  };
}

/** What is written in one breath leaves in one piece: a transaction's statements are sent together (see batch.ts). */
const address = (host: string, port: number): PoolConfig => ({
  ...{ host, port },
  stream(done) {
    const socket = connect({ host, port });
    const write = socket.write;
    let gathering = false;
    socket.write = (...args: any) => {
      if (!gathering) {
        gathering = true;
        socket.cork();
        process.nextTick(() => {
          gathering = false;
          socket.uncork();
        });
      }
      return write.apply(socket, args);
    };
    done?.(undefined, socket);
  },
});
