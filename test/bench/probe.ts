/** One request through a proxy by hand, before anything is measured: the figures of a proxy that refuses are void. */
import net from 'node:net';
import { within } from '@arcus/testkit/until.ts';
import type { ProxyUnderTest } from './lab.ts';

/** The status and the whole answer, as it came, until the proxy closes. */
export function ask(port: number, request: string): Promise<{ status: number; text: string }> {
  const answer = new Promise<{ status: number; text: string }>((resolve, reject) => {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let text = '';
    socket.setEncoding('latin1');
    socket.on('connect', () => socket.write(request));
    socket.on('data', (chunk) => (text += chunk));
    socket.on('error', reject);
    socket.on('end', () => {
      socket.end();
      resolve({ status: Number(text.slice(9, 12)), text });
    });
  });
  return within(answer, `an answer to ${request.slice(0, 60)}`);
}

/** A forward request's text that asks to close afterwards. */
function head(url: string, authorization: string): string {
  const host = /^http:\/\/([^/]+)/.exec(url)![1]!;
  const auth = authorization ? `Proxy-Authorization: ${authorization}\r\n` : '';
  return `GET ${url} HTTP/1.1\r\nHost: ${host}\r\n${auth}Connection: close\r\n\r\n`;
}

/** Throws unless the proxy fetches `url` and, when it has duties, does them. */
export async function checkForward(proxy: ProxyUnderTest, url: string, blockedHost: string | null): Promise<void> {
  const expect = async (what: string, status: number, request: string) => {
    const answer = await ask(proxy.port, request).catch((error: Error) => {
      throw new Error(`${proxy.name}, ${what}: ${error.message}`);
    });
    if (answer.status !== status) {
      throw new Error(`${proxy.name}, ${what}: expected ${status}, got ${answer.text.slice(0, 200)}`);
    }
  };
  await expect('a request', 200, head(url, proxy.authorization));
  if (proxy.authorization) await expect('a request without credentials', 407, head(url, ''));
  if (blockedHost) await expect('a blocked site', 403, head(`http://${blockedHost}/`, proxy.authorization));
}

/** How many bytes the answer to a keep-alive request has, head and body. */
export function answerBytes(port: number, request: string): Promise<number> {
  const bytes = new Promise<number>((resolve, reject) => {
    const socket = net.connect({ port, host: '127.0.0.1' });
    let text = '';
    socket.setEncoding('latin1');
    socket.on('connect', () => socket.write(request));
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      text += chunk;
      const end = text.indexOf('\r\n\r\n') + 4;
      if (end < 4) return;
      const total = end + Number(/^content-length: *(\d+)/im.exec(text.slice(0, end))?.[1] ?? Number.NaN);
      if (text.length < total) return;
      socket.destroy();
      if (text.length === total && text.startsWith('HTTP/1.1 200 ')) resolve(total);
      else reject(new Error(`not the answer that was asked for: ${text.slice(0, 200)}`));
    });
  });
  return within(bytes, 'a whole answer');
}
