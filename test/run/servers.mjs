import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Program -> the Debian package that brings it. */
const needed = { mariadbd: 'mariadb-server', etcd: 'etcd-server', 'redis-server': 'redis-server' };

const missing = () => Object.keys(needed).filter((program) => !find(program));

function find(program) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.some((folder) => folder !== '' && existsSync(join(folder, program)));
}

/** Makes sure that the real servers are there: installs Debian's packages when root, else says what to install. */
export function ensureServers() {
  if (missing().length === 0) return;
  const packages = missing().map((program) => needed[program]);
  const command = `apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  if (process.getuid?.() !== 0 || !existsSync('/etc/debian_version')) {
    throw new Error(
      `The tests run against real servers, and ${missing().join(', ')} cannot be found. On Debian or Ubuntu: ` +
        `sudo ${command}`,
    );
  }
  process.stdout.write(`Installing ${packages.join(', ')} …\n`);
  // RUNLEVEL=1: the packages must not start their services, the tests start their own on free ports.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  for (const line of ['apt-get update', command]) {
    const [program, ...args] = line.split(' ');
    const result = spawnSync(program, args, { env, encoding: 'utf8' });
    if (result.status !== 0) throw new Error(`${line} failed:\n${result.stdout}${result.stderr}`);
  }
  if (missing().length > 0) throw new Error(`${missing().join(', ')} cannot be found after ${command}`);
}
