/** After CONNECT and after 101 the client and the site talk to each other; this hop only counts. */
import type { Egress } from '../kind.ts';
import { Relay, type RelayOptions } from '../relay.ts';
import type { LiveSession } from '../session.ts';
import type { Wheel } from '../wheel.ts';
import type { HttpConnection, HttpServerContext } from './connection.ts';

class Joined implements RelayOptions {
  readonly #connection: HttpConnection;
  readonly #context: HttpServerContext;
  readonly #egress: Egress;
  readonly #session: LiveSession;

  constructor(connection: HttpConnection, context: HttpServerContext, egress: Egress, session: LiveSession) {
    this.#connection = connection;
    this.#context = context;
    this.#egress = egress;
    this.#session = session;
    const { counters, services } = context;
    services.stats.settling.add(session);
    counters.tenant.active++;
    counters.server.active++;
  }

  get wheel(): Wheel {
    return this.#context.services.wheel;
  }

  get idleMs(): number {
    return this.#context.limits.tunnel_idle_ms;
  }

  moved(fromClient: number, fromUpstream: number): void {
    this.#session.bytes_in += fromClient;
    this.#session.bytes_out += fromUpstream;
  }

  done(): void {
    const { counters, services } = this.#context;
    counters.tenant.active--;
    counters.server.active--;
    services.stats.settling.delete(this.#session);
    this.#session.record(null);
    this.#egress.release(false);
    this.#connection.detached();
  }
}

/**
 * Joins the two for good. `early`: bytes that the client has sent already. Of its exchange nothing stays: an idle tunnel
 * keeps no head and no text.
 */
export function join(
  connection: HttpConnection,
  context: HttpServerContext,
  egress: Egress,
  session: LiveSession,
  early: Buffer,
): void {
  connection.detach();
  new Relay(connection.stream, egress.stream, new Joined(connection, context, egress, session));
  session.bytes_in += early.length;
  if (early.length > 0 && !egress.stream.write(early)) connection.stream.pause();
  else connection.stream.resume();
  if (connection.ended) egress.stream.end();
}
