import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Child } from './child.ts';
import { answers } from './connect.ts';
import { freePort } from './port.ts';
import { tempDir } from './temp.ts';

export interface MariaDbServer {
  readonly port: number;
  /** `mysql://arcus:arcus@127.0.0.1:<port>/<database>`; the user may do everything, also create databases. */
  readonly url: string;
  /** The same for another database, which need not exist. */
  urlOf(database: string): string;
  /** kill, stop, cont, start, restart: its data survive all of them. */
  readonly process: Child;
  close(): Promise<void>;
}

export interface MariaDbOptions {
  /** Exists and is empty; default `arcus`. */
  database?: string;
  /** Each commit is on the disk before it is answered, as by default in production; default false, which is faster. */
  durable?: boolean;
}

/** A real mariadbd on a free port, its data in a temporary folder. */
export async function startMariaDb({
  database = 'arcus',
  durable = false,
}: MariaDbOptions = {}): Promise<MariaDbServer> {
  const port = await freePort();
  const dir = tempDir('mariadb');
  const data = join(dir.path, 'data');
  // mariadbd refuses to run as root unless told that root is meant.
  const user = process.getuid?.() === 0 ? ['--user=root'] : [];
  // Each one that starts removes what looks like temporary tables in its folder: they must not share one.
  const env = { ...process.env, TMPDIR: dir.path };
  try {
    await promisify(execFile)(
      'mariadb-install-db',
      ['--no-defaults', `--datadir=${data}`, '--skip-test-db', '--auth-root-authentication-method=normal', ...user],
      { env },
    );
  } catch (error) {
    dir.close();
    throw error;
  }
  const init = join(dir.path, 'init.sql');
  writeFileSync(
    init,
    [
      `CREATE DATABASE IF NOT EXISTS \`${database}\` CHARACTER SET utf8mb4;`,
      "CREATE USER IF NOT EXISTS 'arcus'@'%' IDENTIFIED BY 'arcus';",
      "GRANT ALL PRIVILEGES ON *.* TO 'arcus'@'%';",
      '',
    ].join('\n'),
  );
  const child = await Child.start({
    command: 'mariadbd',
    args: [
      '--no-defaults',
      `--datadir=${data}`,
      `--socket=${join(dir.path, 's')}`,
      `--pid-file=${join(dir.path, 'pid')}`,
      `--port=${port}`,
      '--bind-address=127.0.0.1',
      `--init-file=${init}`,
      '--innodb-buffer-pool-size=64M',
      `--innodb-flush-log-at-trx-commit=${durable ? 1 : 2}`,
      '--skip-log-bin',
      '--skip-name-resolve',
      '--max-connections=300',
      ...user,
    ],
    env,
    ready: () => answers(port, { greeting: true }),
    deadline: 120_000,
    cleanup: dir.close,
  });
  const urlOf = (name: string) => `mysql://arcus:arcus@127.0.0.1:${port}/${name}`;
  return { port, url: urlOf(database), urlOf, process: child, close: () => child.close() };
}
