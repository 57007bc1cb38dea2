/**
 * Not a proxy but the floor under one: a Node that joins each client's socket to one of the origin's and looks at
 * nothing. Run by `startNodeFloor` with a port and the origin's port as arguments.
 */
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { freePort, type Lab, listens, type ProxyUnderTest } from '../lab.ts';

export async function startNodeFloor(lab: Lab, target: number): Promise<ProxyUnderTest> {
  const port = await freePort();
  const args = ['--disable-warning=ExperimentalWarning', fileURLToPath(import.meta.url), String(port), String(target)];
  const child = await lab.start(process.execPath, args, { measured: true, ready: () => listens(port) });
  return {
    ...{ name: 'node-floor', port, pid: child.pid, authorization: '', tunnels: 'fixed' },
    ...{ logs: [], warmSeconds: 2 },
  };
}

/** Reads into one buffer for each direction and writes it on, waiting when the other side is slower. */
function join(client: net.Socket, target: number): void {
  const buffer = Buffer.allocUnsafeSlow(64 * 1024);
  const origin = net.connect({
    ...{ port: target, host: '127.0.0.1', noDelay: true, allowHalfOpen: true },
    onread: {
      buffer,
      callback: (size) => {
        if (client.write(Buffer.from(buffer.subarray(0, size)))) return true;
        origin.pause();
        return true;
      },
    },
  });
  client.on('data', (chunk) => origin.write(chunk) || client.pause());
  client.on('drain', () => origin.resume());
  origin.on('drain', () => client.resume());
  for (const [from, to] of [
    [client, origin],
    [origin, client],
  ] as const) {
    from.on('end', () => to.end());
    from.on('error', () => to.destroy());
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [port, target] = process.argv.slice(2).map(Number) as [number, number];
  net
    .createServer({ allowHalfOpen: true, noDelay: true }, (socket) => join(socket, target))
    .listen({ port, host: '127.0.0.1', backlog: 4096 });
}
