/** Asks a tenant's proxy, over one connection that stays open, which release decides. */
import net from 'node:net';
import { MARKED_SITE } from './tenants.ts';

const REQUEST = `GET http://${MARKED_SITE}/ HTTP/1.1\r\nHost: ${MARKED_SITE}\r\n\r\n`;

export class Marker {
  readonly #socket: net.Socket;
  #text = '';
  #answer: { resolve(mark: number): void; reject(error: Error): void } | undefined;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.setNoDelay(true);
    socket.on('data', (chunk: string) => this.#hear(chunk));
    socket.on('error', (error) => this.#answer?.reject(error));
    socket.on('close', () => this.#answer?.reject(new Error('the proxy closed the connection')));
  }

  static open(host: string, port: number): Promise<Marker> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ host, port });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new Marker(socket));
      });
    });
  }

  /** The mark of the release that answered. */
  ask(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#answer = { resolve, reject };
      this.#socket.write(REQUEST);
    });
  }

  /** performance.now() when the first answer by `mark` or a newer one was there. */
  async waitFor(mark: number, deadlineMs = 30_000): Promise<number> {
    const end = performance.now() + deadlineMs;
    for (;;) {
      const now = await this.ask();
      const at = performance.now();
      if (now >= mark) return at;
      if (at > end) throw new Error(`after ${deadlineMs} ms the worker serves ${now}, not ${mark}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #hear(chunk: string): void {
    this.#text += chunk;
    const end = this.#text.indexOf('\r\n\r\n') + 4;
    if (end < 4) return;
    const head = this.#text.slice(0, end);
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
    if (this.#text.length < end + length) return;
    this.#text = this.#text.slice(end + length);
    const mark = /^location: http:\/\/m(\d+)\.example/im.exec(head)?.[1];
    const answer = this.#answer;
    this.#answer = undefined;
    if (mark === undefined) answer?.reject(new Error(`no mark in ${head}`));
    else answer?.resolve(Number(mark));
  }
}
