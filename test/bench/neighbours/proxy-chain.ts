/** proxy-chain from npm with Basic auth, in a Node of its own: `startProxyChain`, or run with a port as argument. */
import { fileURLToPath } from 'node:url';
import { AUTHORIZATION, PASSWORD, USER } from '../duties.ts';
import { freePort, type Lab, listens, type ProxyUnderTest } from '../lab.ts';

export async function startProxyChain(lab: Lab): Promise<ProxyUnderTest> {
  const port = await freePort();
  const args = ['--disable-warning=ExperimentalWarning', fileURLToPath(import.meta.url), String(port)];
  const child = await lab.start(process.execPath, args, { measured: true, ready: () => listens(port) });
  return {
    ...{ name: 'proxy-chain', port, pid: child.pid, authorization: AUTHORIZATION, tunnels: 'connect' },
    ...{ logs: [], warmSeconds: 2 },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { Server } = await import('proxy-chain');
  const server = new Server({
    host: '127.0.0.1',
    port: Number(process.argv[2]),
    prepareRequestFunction: ({ username, password }) => ({
      requestAuthentication: username !== USER || password !== PASSWORD,
    }),
  });
  await server.listen();
}
