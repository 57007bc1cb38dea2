/** People who browse, and connections that stay open, while something is done to the proxy they go through. */
import { createServer } from 'node:http';
import { createServer as createTcp } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { type Listening, listen, startEcho } from '@arcus/testkit/origin.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { configOf, questions, readAnswer } from '../../chaos/lib/config.ts';

/** Sites behind the proxy: a next proxy that answers with the user it was shown, an echo, and one for WebSockets. */
export interface Sites {
  readonly parent: Listening;
  readonly echo: Listening;
  readonly upgrades: Listening;
  close(): Promise<void>;
}

export async function startSites(): Promise<Sites> {
  const parent = createServer((request, response) => {
    const [, shown = ''] = /^Basic (.*)$/.exec(request.headers['proxy-authorization'] ?? '') ?? [];
    response.end(Buffer.from(shown, 'base64').toString('latin1').replace(/:$/, ''));
  });
  parent.keepAliveTimeout = 0;
  // RFC 6455 §4.2.2; no frame is looked at, so an echo of bytes will do.
  const upgrades = createTcp({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
      socket.pipe(socket);
    });
  });
  const [one, two, three] = await Promise.all([listen(parent), startEcho(), listen(upgrades)]);
  return {
    ...{ parent: one, echo: two, upgrades: three },
    async close() {
      await Promise.all([one.close(), two.close(), three.close()]);
    },
  };
}

/** Write `n`: server, escapers and rules all name it; tunnels and WebSockets go straight, the rest by the next proxy. */
export function numberedConfig(listenOn: { host: string; port: number }, sites: Sites, n: number) {
  const parent = `${sites.parent.host}:${sites.parent.port}`;
  const config = configOf({ tenant: '', ...listenOn, parent }, n);
  const [server] = config.servers;
  return {
    ...config,
    servers: [{ ...server, escaper: `way-${n}`, connect_ports: [sites.echo.port] }],
    escapers: [
      ...config.escapers,
      { name: `direct-${n}`, type: 'direct_fixed', egress_allow: [{ network: '127.0.0.0/8' }] },
      {
        ...{ name: `way-${n}`, type: 'route_upstream', fallback_next: `out-${n}` },
        rules: [{ exact_match: ['127.0.0.1'], next: `direct-${n}` }],
      },
    ],
  };
}

export interface TrafficOptions {
  readonly host: string;
  readonly port: number;
  readonly sites: Sites;
  /** Over kept connections. */
  readonly requestsPerSecond: number;
  /** Connections opened anew, one request each. */
  readonly newPerSecond: number;
  readonly tunnels: number;
  readonly webSockets: number;
  /** Who lost a tunnel opens a new one, as people do. */
  readonly reopen?: boolean;
}

const KEPT = 40;
const FRESH = 20;
/** Each open tunnel carries something so often, ms. */
const PING_MS = 2000;

export class Traffic {
  requests = 0;
  newConnections = 0;
  pings = 0;
  /** Of requests, each with its reason. */
  readonly failed: string[] = [];
  /** New connections that were refused or reset. */
  readonly refused: string[] = [];
  /** Answers by a mix of two releases, or by an older one after a newer. */
  readonly mixed: string[] = [];
  readonly dropped: string[] = [];
  readonly #options: TrafficOptions;
  readonly #running: Promise<void>[] = [];
  #stopped = false;

  private constructor(options: TrafficOptions) {
    this.#options = options;
  }

  /** All tunnels are open when it resolves. */
  static async start(options: TrafficOptions): Promise<Traffic> {
    const traffic = new Traffic(options);
    const { tunnels, webSockets, requestsPerSecond, newPerSecond } = options;
    for (let i = 0; i < tunnels + webSockets; i++) {
      const open = await traffic.#open(i < tunnels);
      traffic.#running.push(traffic.#stay(open, i));
    }
    for (let i = 0; i < KEPT; i++) traffic.#running.push(traffic.#browse(true, (KEPT * 1000) / requestsPerSecond));
    for (let i = 0; i < FRESH; i++) traffic.#running.push(traffic.#browse(false, (FRESH * 1000) / newPerSecond));
    return traffic;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  async #open(tunnel: boolean): Promise<RawClient> {
    const { host, port, sites } = this.#options;
    const client = await RawClient.connect({ host, port });
    const { echo, upgrades } = sites;
    const upgrade =
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n';
    await client.send(
      tunnel
        ? `CONNECT 127.0.0.1:${echo.port} HTTP/1.1\r\nHost: x\r\n\r\n`
        : `GET http://127.0.0.1:${upgrades.port}/ HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`,
    );
    const { status } = await client.readResponse({ method: tunnel ? 'CONNECT' : 'GET' });
    if (status !== (tunnel ? 200 : 101)) throw new Error(`a tunnel was answered with ${status}`);
    return client;
  }

  async #stay(first: RawClient, index: number): Promise<void> {
    const { tunnels, reopen } = this.#options;
    let client: RawClient | undefined = first;
    await wait((PING_MS * (index % 100)) / 100);
    for (let turn = 0; !this.#stopped; turn++) {
      const sent = `${index}/${turn};`;
      const opening = client === undefined;
      try {
        client ??= await this.#open(index < tunnels);
        await client.send(sent);
        const got = (await client.read(sent.length)).toString('latin1');
        if (got !== sent) throw new Error(`${sent} came back as ${got}`);
        this.pings++;
        if (opening) this.newConnections++;
      } catch (error) {
        (opening ? this.refused : this.dropped).push((error as Error).message);
        client?.socket.destroy();
        if (!reopen) return;
        client = undefined;
        continue;
      }
      await wait(PING_MS);
    }
    client?.socket.destroy();
  }

  /** One person: questions in turn, about one each `pauseMs`. */
  async #browse(keep: boolean, pauseMs: number): Promise<void> {
    const { host, port } = this.#options;
    let client: RawClient | undefined;
    let newest = 0;
    let due = performance.now() + pauseMs * Math.random();
    for (let turn = 0; !this.#stopped; turn++) {
      const early = due - performance.now();
      if (early > 0) await wait(early);
      due += pauseMs;
      const question = questions[turn % questions.length]!;
      const connecting = client === undefined;
      try {
        client ??= await RawClient.connect({ host, port });
        const end = keep ? '' : 'Connection: close\r\n';
        await client.send(`GET http://${question}/ HTTP/1.1\r\nHost: ${question}\r\n${end}\r\n`);
        const { status, headers, text } = await client.readResponse();
        this.requests++;
        if (connecting) this.newConnections++;
        const n = readAnswer(question, status, headers.location ?? '', text);
        if (n < newest) throw new Error(`a mix: write ${n} answered after write ${newest}`);
        newest = n;
        if (keep && headers.connection !== 'close') continue;
      } catch (error) {
        const why = (error as Error).message;
        if (/a mix/.test(why)) this.mixed.push(why);
        else (connecting ? this.refused : this.failed).push(why);
      }
      client?.socket.destroy();
      client = undefined;
    }
    client?.socket.destroy();
  }
}
