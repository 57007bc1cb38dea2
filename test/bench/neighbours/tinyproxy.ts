/** tinyproxy with Basic auth and its log off: it keeps no connection open between requests. */
import { PASSWORD, USER } from '../duties.ts';
import { freePort, type Lab, listens, type ProxyUnderTest } from '../lab.ts';
import { programPath } from '../machine.ts';

export async function startTinyproxy(lab: Lab, connectPorts: readonly number[] = [443]): Promise<ProxyUnderTest> {
  const port = await freePort();
  const config = lab.write(
    'tinyproxy.conf',
    `Listen 127.0.0.1
Port ${port}
Timeout 600
MaxClients 9000
LogLevel Critical
LogFile "${lab.path('tinyproxy.log')}"
BasicAuth ${USER} ${PASSWORD.replaceAll(' ', '-')}
${connectPorts.map((p) => `ConnectPort ${p}`).join('\n')}
`,
  );
  const child = await lab.start(programPath('tinyproxy'), ['-d', '-c', config], {
    measured: true,
    ready: () => listens(port),
  });
  // Its config file has no quoting for passwords.
  const authorization = `Basic ${Buffer.from(`${USER}:${PASSWORD.replaceAll(' ', '-')}`).toString('base64')}`;
  return {
    ...{ name: 'tinyproxy', port, pid: child.pid, authorization, tunnels: 'connect', logs: [], warmSeconds: 1 },
  };
}
