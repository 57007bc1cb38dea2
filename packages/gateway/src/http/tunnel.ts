/** CONNECT: a tunnel through the proxy, RFC 9110 section 9.3.6. */
import type { RequestHead } from '@arcus/protocol/http1/request.ts';
import { GatewayError } from '../errors.ts';
import type { Egress } from '../kind.ts';
import type { LiveSession } from '../session.ts';
import { errorAnswer } from './answer.ts';
import type { Exchange, HttpConnection, HttpServerContext } from './connection.ts';
import { enterTunnel, MAX_EARLY } from './inspected.ts';

const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n';

export class Tunnel implements Exchange {
  readonly #connection: HttpConnection;
  readonly #context: HttpServerContext;
  readonly #head: RequestHead;
  readonly #session: LiveSession;
  #early: Buffer[] = [];
  #earlyBytes = 0;
  #finished = false;
  /** The client has sent its FIN already. */
  #ended = false;

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
    if (this.#earlyBytes > MAX_EARLY) this.#connection.stream.pause();
    return chunk.length;
  }

  clientEnd(): void {
    this.#ended = true;
  }

  clientDrain(): void {}

  clientClosed(error: Error | null): void {
    this.#end(new GatewayError('client_closed', error ? 'reset' : ''));
  }

  timeout(): void {
    this.#fail(new GatewayError('connect_timeout', 'no way out in time'));
  }

  #open(egress: Egress): void {
    if (this.#finished) {
      egress.release(false);
      return;
    }
    this.#finished = true;
    this.#session.status = 200;
    this.#session.bytes_out += ESTABLISHED.length;
    this.#connection.stream.write(ESTABLISHED);
    const ahead = this.#connection.takePending();
    if (ahead.length > 0) this.#early.unshift(ahead);
    enterTunnel(this.#connection, this.#context, egress, this.#session, this.#early, this.#ended);
  }

  #fail(error: unknown): void {
    const head = this.#head;
    if (this.#finished) return;
    const known = GatewayError.of(error);
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
    this.#session.status = known.status;
    this.#session.bytes_out += answer.length;
    this.#connection.stream.write(answer);
    this.#end(known);
    this.#connection.next(persist);
  }

  #end(error: GatewayError): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#session.record(error);
  }
}
