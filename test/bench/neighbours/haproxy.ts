/** HAProxy, bare: one thread, one fixed server, no log, no rule. The floor that C sets. */
import { freePort, type Lab, listens, type ProxyUnderTest } from '../lab.ts';
import { programPath } from '../machine.ts';

/** `mode` tcp splices what it relays. `target` is a port on loopback. */
export async function startHaproxy(lab: Lab, mode: 'http' | 'tcp', target: number): Promise<ProxyUnderTest> {
  const port = await freePort();
  const config = lab.write(
    `haproxy-${port}.cfg`,
    `global
  nbthread 1
  maxconn 4000
defaults
  mode ${mode}
  ${mode === 'tcp' ? 'option splice-auto' : 'option http-keep-alive'}
  timeout connect 10s
  timeout client 1h
  timeout server 1h
frontend proxy
  bind 127.0.0.1:${port}
  default_backend origin
backend origin
  server origin 127.0.0.1:${target}
`,
  );
  const child = await lab.start(programPath('haproxy'), ['-db', '-f', config], {
    measured: true,
    ready: () => listens(port),
  });
  return {
    ...{ name: 'haproxy', port, pid: child.pid, authorization: '', tunnels: 'fixed', logs: [], warmSeconds: 1 },
  };
}
