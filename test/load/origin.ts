/** A site that answers by path, echoes in tunnels, and misbehaves where it is told to. */
import net from 'node:net';

const small = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n${'s'.repeat(1024)}`);
const CHUNK = `4000\r\n${'c'.repeat(0x4000)}\r\n`;
const chunked = Buffer.from(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNK.repeat(4)}0\r\n\r\n`);
const large = Buffer.concat([
  Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n'),
  Buffer.alloc(1_000_000, 'l'),
]);
const cut = large.subarray(0, 300_000);

export const LENGTHS = { small: 1024, chunked: 4 * 0x4000, large: 1_000_000 } as const;

/** Listens on a free port; `close` ends all. */
export async function startSite(): Promise<{ port: number; close(): Promise<void> }> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function serve(socket: net.Socket): void {
  let text = '';
  let body = 0;
  const onData = (chunk: Buffer) => {
    let at = 0;
    if (text === '' && body === 0 && chunk[0] === 0x21) {
      // '!' opens an echo: a tunnel.
      socket.removeListener('data', onData);
      socket.write(chunk);
      socket.pipe(socket);
      return;
    }
    while (at < chunk.length) {
      if (body > 0) {
        const take = Math.min(body, chunk.length - at);
        body -= take;
        at += take;
        if (body === 0) socket.write(small);
        continue;
      }
      text += chunk.toString('latin1', at);
      at = chunk.length;
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const head = text.slice(0, end);
        text = text.slice(end + 4);
        const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
        if (length > 0) {
          body = length - text.length;
          if (body <= 0) {
            text = text.slice(length);
            body = 0;
            socket.write(small);
          } else text = '';
          continue;
        }
        const path = / (\/[a-z]*)/.exec(head)?.[1];
        if (path === '/chunked') socket.write(chunked);
        else if (path === '/large') socket.write(large);
        else if (path === '/cut') {
          socket.write(cut, () => socket.resetAndDestroy());
          return;
        } else if (path === '/reset') {
          socket.resetAndDestroy();
          return;
        } else socket.write(small);
      }
    }
  };
  socket.on('data', onData);
  socket.on('end', () => socket.end());
}
