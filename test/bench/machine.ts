/** The machine: its two cores, the programs that are needed, and what a reader of the figures must know of it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { delimiter, join } from 'node:path';
import { root } from './root.ts';

/** Program -> where it comes from. A path is looked for as it is. */
const packages = {
  squid: 'squid',
  '/usr/lib/squid/basic_ncsa_auth': 'squid',
  haproxy: 'haproxy',
  nginx: 'nginx-light',
  tinyproxy: 'tinyproxy',
  wrk: 'wrk',
  htpasswd: 'apache2-utils',
  'redis-server': 'redis-server',
  mariadbd: 'mariadb-server',
  etcd: 'etcd-server',
  taskset: 'util-linux',
} as const;
export type Program = keyof typeof packages;

/** The program's path, or undefined. Debian puts daemons where only root's PATH looks. */
function find(program: string): string | undefined {
  if (program.startsWith('/')) return existsSync(program) ? program : undefined;
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, program)).find((file) => existsSync(file));
}

/** The program's path; throws when it is not installed. */
export function programPath(program: Program): string {
  requirePrograms([program]);
  return find(program)!;
}

/** Throws one error that names every package to install. */
export function requirePrograms(programs: Iterable<Program>): void {
  const missing = [...new Set(programs)].filter((program) => find(program) === undefined);
  if (missing.length === 0) return;
  const wanted = [...new Set(missing.map((program) => packages[program]))].join(' ');
  throw new Error(`not installed: ${missing.join(', ')}. On Debian: apt-get install --no-install-recommends ${wanted}`);
}

export interface Cores {
  /** Of the proxy under test. */
  readonly proxy: number;
  /** Of everything else. */
  readonly rest: number;
}

/** The first two that this process may use. */
export function twoCores(): Cores {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
  const cores = list.split(',').flatMap((part) => {
    const [from, to = from] = part.split('-').map(Number) as [number, number?];
    return Array.from({ length: to! - from + 1 }, (_, i) => from + i);
  });
  if (cores.length < 2) throw new Error('a benchmark needs two cores: one for the proxy, one for everything else');
  return { proxy: cores[0]!, rest: cores[1]! };
}

/** Keeps this process, all its threads and all its children, on one core. */
export function pinSelf(core: number): void {
  execFileSync('taskset', ['-acp', String(core), String(process.pid)], { stdio: 'ignore' });
}

/**
 * Lets this process, and the children it starts from now on, run before everything else, or no longer. Only root may;
 * `nice` would not do, as the kernel weighs sessions against each other first (sched(7), autogroup).
 */
export function setUrgent(urgent: boolean): void {
  const policy = urgent ? ['--rr', '--pid', '1'] : ['--other', '--pid', '0'];
  spawnSync('chrt', ['--all-tasks', ...policy, String(process.pid)], { stdio: 'ignore' });
}

const versionOf = (program: Program, flag: string, pattern: RegExp): string => {
  const path = find(program);
  if (path === undefined) return 'not installed';
  const { stdout, stderr } = spawnSync(path, [flag], { encoding: 'utf8' });
  return pattern.exec(stdout + stderr)?.[1] ?? 'unknown';
};

const manifest = (path: string): { version: string } => JSON.parse(readFileSync(join(root, path), 'utf8'));

export function describeMachine(): Record<string, string> {
  const [cpu] = cpus();
  return {
    machine: `${cpus().length} × ${cpu?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: `Linux ${release()}`,
    Node: process.version.slice(1),
    Arcus: manifest('package.json').version,
    HAProxy: versionOf('haproxy', '-v', /version (\S+?)[-+ ]/),
    Squid: versionOf('squid', '-v', /Version (\S+)/),
    tinyproxy: versionOf('tinyproxy', '-v', /tinyproxy (\S+)/),
    'proxy-chain': manifest('node_modules/proxy-chain/package.json').version,
    nginx: versionOf('nginx', '-v', /nginx\/(\S+)/),
    wrk: versionOf('wrk', '-v', /wrk (?:debian\/)?(\S+)/),
    MariaDB: versionOf('mariadbd', '--version', /Ver (\S+?)-/),
    etcd: versionOf('etcd', '--version', /etcd Version: (\S+)/),
    Redis: versionOf('redis-server', '-v', /v=(\S+)/),
  };
}
