/** A server that swallows: eight bytes say how many follow; when all are there it says "ok". */
import net from 'node:net';
import { freePort, type Lab } from '../lab.ts';

export async function startSink(lab: Lab): Promise<{ port: number; host: string }> {
  const port = await freePort();
  const open = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    open.add(socket);
    let header = Buffer.alloc(0);
    let left = -1;
    socket.on('data', (chunk) => {
      let size = chunk.length;
      if (left < 0) {
        header = Buffer.concat([header, chunk]);
        if (header.length < 8) return;
        left = Number(header.readBigUInt64BE());
        size = header.length - 8;
        header = Buffer.alloc(0);
      }
      left -= size;
      if (left > 0) return;
      left = -1;
      socket.write('ok');
    });
    socket.on('error', () => {});
    socket.on('close', () => open.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  lab.keep({
    close: () => {
      server.close();
      for (const socket of open) socket.destroy();
    },
  });
  return { port, host: 'localhost' };
}
