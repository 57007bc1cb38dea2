/** Squid with the duties of Arcus: Basic auth, a list of domains, a log file; no cache. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { AUTHORIZATION, blockedHosts, PASSWORD, RULES, USER } from '../duties.ts';
import { freePort, type Lab, listens, type ProxyUnderTest } from '../lab.ts';
import { programPath } from '../machine.ts';

export async function startSquid(lab: Lab): Promise<ProxyUnderTest> {
  const port = await freePort();
  const dir = lab.path('squid');
  mkdirSync(dir);
  // Squid gives up root and writes here as its own user.
  execFileSync('chmod', ['777', dir]);
  const hosts = blockedHosts(RULES).map(({ host, children }) => (children ? `.${host}` : host));
  lab.write('squid/domains', `${hosts.join('\n')}\n`);
  lab.write('squid/users', execFileSync(programPath('htpasswd'), ['-nbm', USER, PASSWORD], { encoding: 'utf8' }));
  const log = `${dir}/access.log`;
  writeFileSync(log, '');
  execFileSync('chmod', ['666', log]);
  const config = lab.write(
    'squid/squid.conf',
    `http_port 127.0.0.1:${port}
workers 1
pid_filename ${dir}/squid.pid
coredump_dir ${dir}
cache_log ${dir}/cache.log
cache_store_log none
netdb_filename none
pinger_enable off
shutdown_lifetime 0 seconds
max_filedescriptors 20000
cache deny all
access_log stdio:${log} squid
buffered_logs on
auth_param basic program ${programPath('/usr/lib/squid/basic_ncsa_auth')} ${dir}/users
auth_param basic children 2
auth_param basic realm bench
auth_param basic credentialsttl 2 hours
acl users proxy_auth REQUIRED
acl sites dstdomain "${dir}/domains"
http_access deny !users
http_access deny sites
http_access allow all
`,
  );
  const child = await lab.start(programPath('squid'), ['-N', '-f', config], {
    measured: true,
    ready: () => listens(port),
  });
  return {
    ...{ name: 'squid', port, pid: child.pid, authorization: AUTHORIZATION, tunnels: 'connect' },
    ...{ logs: [log], warmSeconds: 1 },
  };
}
