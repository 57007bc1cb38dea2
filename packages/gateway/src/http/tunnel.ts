/** CONNECT: a tunnel through the proxy, RFC 9110 section 9.3.6. */
import type { RequestHead } from '@arcus/protocol/http1/request.ts';
import { errorTable, GatewayError } from '../errors.ts';
import type { Egress } from '../kind.ts';
import type { LiveSession } from '../session.ts';
import { errorAnswer } from './answer.ts';
import type { Exchange, HttpConnection, HttpServerContext } from './connection.ts';
import { join } from './join.ts';

const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n';
/** Bytes that a client may send ahead of our answer. */
const MAX_EARLY = 64 * 1024;

const NOTHING = Buffer.alloc(0);

export class Tunnel implements Exchange {
  readonly #connection: HttpConnection;
  readonly #context: HttpServerContext;
  readonly #head: RequestHead;
  readonly #session: LiveSession;
  #egress: Egress | null = null;
  #early: Buffer[] = [];
  #earlyBytes = 0;
  #finished = false;
  /** The auditor said no. */
  #denied = false;
  /** The client has sent its FIN already. */
  #ended = false;
  /** The site has, while the auditor waited for the client's first bytes. */
  #siteEnded = false;

  constructor(connection: HttpConnection, context: HttpServerContext, head: RequestHead, session: LiveSession) {
    this.#connection = connection;
    this.#context = context;
    this.#head = head;
    this.#session = session;
  }

  start(): void {
    const { limits } = this.#context;
    this.#connection.arm(limits.response_head_ms);
    try {
      if (this.#head.hasBody) throw new GatewayError('bad_request', 'CONNECT with a body');
      const way = this.#session.admit();
      if (way instanceof Promise)
        way.then(
          (egress) => this.#open(egress),
          (error) => this.#fail(error),
        );
      else this.#open(way);
    } catch (error) {
      this.#fail(error);
    }
  }

  clientData(chunk: Buffer): number {
    this.#early.push(Buffer.from(chunk));
    this.#earlyBytes += chunk.length;
    if (this.#egress !== null) this.#inspect(false);
    else if (this.#earlyBytes > MAX_EARLY) this.#connection.stream.pause();
    return chunk.length;
  }

  clientEnd(): void {
    this.#ended = true;
    // While an auditor waits for the first bytes a FIN means that there will be none.
    if (this.#egress === null) return;
    this.#inspect(true);
    this.#join();
  }

  clientDrain(): void {
    this.#egress?.stream.resume();
  }

  clientClosed(error: Error | null): void {
    this.#end(new GatewayError('client_closed', error ? 'reset' : ''));
  }

  timeout(): void {
    if (this.#egress === null) this.#fail(new GatewayError('connect_timeout', 'no way out in time'));
    else {
      this.#end(new GatewayError('request_timeout', 'nothing was sent through the tunnel'));
      this.#connection.stream.destroy();
    }
  }

  #open(egress: Egress): void {
    if (this.#finished) {
      egress.release(false);
      return;
    }
    this.#egress = egress;
    this.#session.status = 200;
    this.#session.bytes_out += ESTABLISHED.length;
    this.#connection.stream.write(ESTABLISHED);
    const ahead = this.#connection.takePending();
    if (ahead.length > 0) this.#early.unshift(ahead);
    if (this.#context.auditor === null) {
      this.#join();
      return;
    }
    // The auditor looks at the client's first bytes before any of them goes on. Where the site speaks first, its bytes
    // pass: the client's are still looked at, so that no site can talk an auditor out of its look.
    egress.stream.receiver = {
      onData: (chunk, borrowed) => {
        this.#inspect(true);
        if (this.#denied) return;
        this.#session.bytes_out += chunk.length;
        if (!this.#connection.stream.write(chunk, borrowed)) egress.stream.pause();
      },
      onEnd: () => {
        this.#siteEnded = true;
        this.#inspect(true);
        if (!this.#finished) this.#connection.stream.end();
      },
      onDrain: () => {},
      onClose: () => {
        this.#inspect(true);
        this.#join();
      },
    };
    this.#connection.arm(this.#context.limits.tunnel_idle_ms);
    if (this.#early.length > 0) this.#inspect(this.#ended);
    else if (this.#ended) this.#join();
    if (!this.#finished) this.#connection.stream.resume();
  }

  /** The auditor's step. `last`: it must decide on what is there, the client may wait for the site now. */
  #inspect(last: boolean): void {
    if (this.#finished || this.#early.length === 0) return;
    const bytes = this.#early.length === 1 ? this.#early[0]! : Buffer.concat(this.#early);
    this.#early = [bytes];
    const seen = this.#context.auditor!.inspectTunnel(bytes, this.#session);
    if (seen.more && !last && bytes.length < MAX_EARLY) return;
    this.#session.protocol = seen.server_name ? `${seen.protocol} ${seen.server_name}` : seen.protocol;
    if (seen.deny !== undefined) {
      this.#denied = true;
      this.#session.bytes_in += bytes.length;
      this.#end(new GatewayError('protocol_denied', seen.deny));
      this.#connection.stream.reset();
      return;
    }
    this.#join();
  }

  #join(): void {
    if (this.#finished) return;
    this.#finished = true;
    const egress = this.#egress!;
    const early = this.#early.length === 0 ? NOTHING : Buffer.concat(this.#early);
    join(this.#connection, this.#context, egress, this.#session, early);
    if (this.#siteEnded) egress.stream.receiver.onEnd();
  }

  #fail(error: unknown): void {
    const head = this.#head;
    if (this.#finished) return;
    const known =
      error instanceof GatewayError
        ? error
        : new GatewayError('internal', String((error as Error)?.message ?? error), { cause: error });
    // Bytes behind a refused CONNECT were meant for the tunnel: never read them as a request. A client that is
    // asked for its name may try again at once.
    const persist =
      known.status === 407 &&
      this.#early.length === 0 &&
      this.#connection.takePending().length === 0 &&
      !head.hasBody &&
      head.persistent &&
      head.minor === 1 &&
      !this.#connection.last;
    const answer = errorAnswer(known, head, {
      worker: this.#context.services.worker,
      realm: this.#context.realm,
      persist,
      authority: this.#session.authority,
    });
    this.#session.status = errorTable[known.code].status;
    this.#session.bytes_out += answer.length;
    this.#connection.stream.write(answer);
    this.#end(known);
    this.#connection.next(persist);
  }

  #end(error: GatewayError): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#session.record(error);
    const egress = this.#egress;
    this.#egress = null;
    egress?.release(false);
  }
}
