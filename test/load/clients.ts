/** Clients of all manners: orderly ones, which count every byte, and those that cut, reset and read slowly. */
import net from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { LENGTHS } from './origin.ts';

/** What orderly clients sent and got. */
export interface Tally {
  sessions: number;
  sent: number;
  got: number;
}

/** Targets by which the decisions are told apart. */
export const ORDERLY = { forward: 'orderly.example', tunnel: 'orderly.example:443' };
const CUT = 'cut.example';
const OK_CONNECT = 'HTTP/1.1 200 Connection established\r\n\r\n'.length;

const random = (n: number) => Math.floor(Math.random() * n);

class Client {
  readonly socket: net.Socket;
  got = 0;
  sent = 0;
  closed = false;
  #wake: () => void = () => {};
  text = '';

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.got += chunk.length;
      // A head is looked for in what comes first, never in bulk.
      if (this.text.length < 4096) this.text += chunk.toString('latin1', 0, 2048);
      this.#wake();
    });
    socket.on('error', () => {});
    socket.on('end', () => this.#wake());
    socket.on('close', () => {
      this.closed = true;
      this.#wake();
    });
  }

  static open(port: number): Promise<Client> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
      const client = new Client(socket);
      socket.once('connect', () => resolve(client));
      socket.once('close', () => reject(new Error('no connection')));
    });
  }

  send(bytes: string | Buffer): void {
    this.sent += bytes.length;
    this.socket.write(bytes as string);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.closed) throw new Error('the connection was closed');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

const get = (host: string, path: string) =>
  `GET http://${host}/${path} HTTP/1.1\r\nHost: ${host}\r\nAccept: */*\r\n\r\n`;
const body = Buffer.alloc(40_000, 'p');
const post = `POST http://${ORDERLY.forward}/ HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`;
const connect = (host: string) => `CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

/** Requests one after another, pairs at once now and then; all answers are awaited. */
async function forward(port: number, tally: Tally): Promise<void> {
  const client = await Client.open(port);
  let requests = 0;
  for (const stop = 5 + random(40); requests < stop; ) {
    const kind = random(8);
    const path = kind === 0 ? 'chunked' : kind === 1 && random(4) === 0 ? 'large' : 'small';
    const times = kind === 2 ? 2 : 1;
    const [expect, before] = [times * (path === 'small' ? LENGTHS.small : LENGTHS[path]), client.got];
    if (kind === 3) {
      client.send(post);
      client.send(body);
    } else client.send(get(ORDERLY.forward, path).repeat(times));
    requests += times;
    client.text = '';
    await client.until(() => client.got - before >= expect && answered(client, before, times, path));
  }
  client.socket.end();
  await client.until(() => client.closed || client.socket.readableEnded);
  client.socket.destroy();
  tally.sessions += requests;
  tally.sent += client.sent;
  tally.got += client.got;
}

/** Have `times` answers come whole? Their heads are alike, so the first one tells how long all are. */
function answered(client: Client, before: number, times: number, path: keyof typeof LENGTHS): boolean {
  const head = client.text.indexOf('\r\n\r\n') + 4;
  if (head < 4) return false;
  const framing = path === 'chunked' ? 4 * '4000\r\n\r\n'.length + '0\r\n\r\n'.length : 0;
  return client.got - before >= times * (head + LENGTHS[path] + framing);
}

/** A tunnel with an echo behind it, ended from our side. */
async function tunnel(port: number, tally: Tally): Promise<void> {
  const client = await Client.open(port);
  const size = random(3) === 0 ? 300_000 : 1 + random(5000);
  client.send(connect(ORDERLY.tunnel));
  await client.until(() => client.got >= OK_CONNECT);
  client.send(Buffer.alloc(size, '!'));
  await client.until(() => client.got === OK_CONNECT + size);
  client.socket.end();
  await client.until(() => client.socket.readableEnded);
  tally.sessions++;
  tally.sent += client.sent;
  tally.got += client.got;
}

/** Does something, and is gone in the middle of it. */
async function cutter(port: number): Promise<void> {
  const client = await Client.open(port);
  const what = random(6);
  if (what === 0) client.send(get(CUT, 'large').slice(0, random(60)));
  else if (what === 1) client.send(get(CUT, 'large').repeat(1 + random(5)));
  else if (what === 2) client.send(`${post.replace(ORDERLY.forward, CUT)}part`);
  else if (what === 3) client.send(connect(`${CUT}:443`) + '!'.repeat(random(100_000)));
  else if (what === 4) client.send(`${get(CUT, 'small')}\0\r\n\r\n`);
  else client.send(get(CUT, 'chunked'));
  if (random(2) === 0) await wait(random(20));
  if (random(3) === 0) client.socket.destroy();
  else client.socket.resetAndDestroy();
}

/** Asks for what the site will cut or never send. */
async function unlucky(port: number): Promise<void> {
  const client = await Client.open(port);
  client.send(get(CUT, random(2) === 0 ? 'cut' : 'reset'));
  await client.until(() => client.closed || client.text.startsWith('HTTP/1.1 502')).catch(() => {});
  client.socket.destroy();
}

/** Reads nothing for a while, then all or never. */
async function slow(port: number): Promise<void> {
  const client = await Client.open(port);
  client.socket.pause();
  client.send(get(CUT, 'large').repeat(1 + random(10)));
  await wait(50 + random(200));
  if (random(2) === 0) {
    client.socket.resume();
    await client.until(() => client.got >= LENGTHS.large).catch(() => {});
  }
  client.socket.destroy();
}

const manners = [forward, forward, forward, forward, tunnel, tunnel, cutter, cutter, unlucky, slow];

/** `lanes` clients at a time until `running`, told the sessions of orderly ones, says no; answers when the last one has gone. */
export async function swarm(port: number, lanes: number, running: (sessions: number) => boolean) {
  const tallies = { forward: { sessions: 0, sent: 0, got: 0 }, tunnel: { sessions: 0, sent: 0, got: 0 } };
  let conversations = 0;
  const lane = async () => {
    while (running(tallies.forward.sessions + tallies.tunnel.sessions)) {
      const manner = manners[random(manners.length)]!;
      await manner(port, manner === tunnel ? tallies.tunnel : tallies.forward);
      conversations++;
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return { ...tallies, conversations };
}
