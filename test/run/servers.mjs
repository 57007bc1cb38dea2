import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Program -> the Debian package that brings it. */
const needed = { mariadbd: 'mariadb-server', etcd: 'etcd-server', 'redis-server': 'redis-server' };
/** Without these a test is skipped, and says so. */
const wanted = { ip: 'iproute2', iptables: 'iptables' };

const missing = (programs) => Object.keys(programs).filter((program) => !find(program));
const packagesOf = (programs) => missing(programs).map((program) => programs[program]);

function find(program) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/sbin'];
  return folders.some((folder) => folder !== '' && existsSync(join(folder, program)));
}

/** Makes sure that the real servers are there: installs Debian's packages when root, else says what to install. */
export function ensureServers() {
  const install = (packages) => `apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  if (process.getuid?.() !== 0 || !existsSync('/etc/debian_version')) {
    if (missing(needed).length === 0) return;
    throw new Error(
      `The tests run against real servers, and ${missing(needed).join(', ')} cannot be found. On Debian or Ubuntu: ` +
        `sudo ${install(packagesOf(needed))}`,
    );
  }
  const packages = [...packagesOf(needed), ...packagesOf(wanted)];
  if (packages.length === 0) return;
  process.stdout.write(`Installing ${packages.join(', ')} …\n`);
  // RUNLEVEL=1: the packages must not start their services, the tests start their own on free ports.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  for (const line of ['apt-get update', install(packages)]) {
    const [program, ...args] = line.split(' ');
    const result = spawnSync(program, args, { env, encoding: 'utf8' });
    if (result.status !== 0) throw new Error(`${line} failed:\n${result.stdout}${result.stderr}`);
  }
  if (missing(needed).length > 0)
    throw new Error(`${missing(needed).join(', ')} cannot be found after an installation`);
}
