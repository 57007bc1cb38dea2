/** What happens to a tunnel once it is open: joined at once, or after an auditor has looked. */
import { GatewayError } from '../errors.ts';
import type { Auditor, Egress } from '../kind.ts';
import type { LiveSession } from '../session.ts';
import type { StreamReceiver } from '../stream.ts';
import type { Exchange, HttpConnection, HttpServerContext } from './connection.ts';
import { join } from './join.ts';

/** Bytes that a client may send ahead of our answer. */
export const MAX_EARLY = 64 * 1024;

const NOTHING = Buffer.alloc(0);

/** The client was told that the tunnel is open. `early`: what it has sent into it already; `ended`: its FIN came too. */
export function enterTunnel(
  connection: HttpConnection,
  context: HttpServerContext,
  egress: Egress,
  session: LiveSession,
  early: Buffer[],
  ended: boolean,
): void {
  if (context.auditor === null) {
    join(connection, context, egress, session, early.length === 0 ? NOTHING : Buffer.concat(early));
    return;
  }
  const tunnel = new InspectedTunnel(connection, context, context.auditor, egress, session, early);
  connection.pass(tunnel);
  tunnel.start(ended);
}

/**
 * The auditor looks at the client's first bytes before any of them goes on. Where the site speaks first, its bytes
 * pass: the client's are still looked at, so that no site can talk an auditor out of its look.
 */
class InspectedTunnel implements Exchange, StreamReceiver {
  readonly #connection: HttpConnection;
  readonly #context: HttpServerContext;
  readonly #auditor: Auditor;
  readonly #egress: Egress;
  readonly #session: LiveSession;
  #early: Buffer[];
  #finished = false;
  /** The auditor said no. */
  #denied = false;
  /** The site has sent its FIN, while the auditor waited for the client's first bytes. */
  #siteEnded = false;

  constructor(
    connection: HttpConnection,
    context: HttpServerContext,
    auditor: Auditor,
    egress: Egress,
    session: LiveSession,
    early: Buffer[],
  ) {
    this.#connection = connection;
    this.#context = context;
    this.#auditor = auditor;
    this.#egress = egress;
    this.#session = session;
    this.#early = early;
    egress.stream.receiver = this;
  }

  start(ended: boolean): void {
    this.#connection.arm(this.#context.limits.tunnel_idle_ms);
    if (this.#early.length > 0) this.#inspect(ended);
    else if (ended) this.#join();
    if (!this.#finished) this.#connection.stream.resume();
  }

  clientData(chunk: Buffer): number {
    this.#early.push(Buffer.from(chunk));
    this.#inspect(false);
    return chunk.length;
  }

  clientEnd(): void {
    // A FIN means that no further bytes will come.
    this.#inspect(true);
    this.#join();
  }

  clientDrain(): void {
    this.#egress.stream.resume();
  }

  clientClosed(error: Error | null): void {
    this.#end(new GatewayError('client_closed', error ? 'reset' : ''));
  }

  timeout(): void {
    this.#end(new GatewayError('request_timeout', 'nothing was sent through the tunnel'));
    this.#connection.stream.destroy();
  }

  onData(chunk: Buffer, borrowed: boolean): void {
    this.#inspect(true);
    if (this.#denied) return;
    this.#session.bytes_out += chunk.length;
    if (!this.#connection.stream.write(chunk, borrowed)) this.#egress.stream.pause();
  }

  onEnd(): void {
    this.#siteEnded = true;
    this.#inspect(true);
    if (!this.#finished) this.#connection.stream.end();
  }

  onDrain(): void {}

  onClose(): void {
    this.#inspect(true);
    this.#join();
  }

  /** `last`: the auditor must decide on what is there, the client may wait for the site now. */
  #inspect(last: boolean): void {
    if (this.#finished || this.#early.length === 0) return;
    const bytes = this.#early.length === 1 ? this.#early[0]! : Buffer.concat(this.#early);
    this.#early = [bytes];
    const seen = this.#auditor.inspectTunnel(bytes, this.#session);
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
    const early = this.#early.length === 0 ? NOTHING : Buffer.concat(this.#early);
    join(this.#connection, this.#context, this.#egress, this.#session, early);
    if (this.#siteEnded) this.#egress.stream.receiver.onEnd();
  }

  #end(error: GatewayError): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#session.record(error);
    this.#egress.release(false);
  }
}
