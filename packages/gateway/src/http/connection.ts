/** One client connection that speaks HTTP/1 to the proxy: requests one after another, each a session of its own. */

import { isRefused, type RequestHead } from '@arcus/protocol/http1/request.ts';
import { parseAuthority } from '@arcus/protocol/http1/target.ts';
import { latin1 } from '../bytes.ts';
import { GatewayError } from '../errors.ts';
import type { Binding, Egress, OpenConnection } from '../kind.ts';
import { Progress } from '../progress.ts';
import { LiveSession, type ServerContext } from '../session.ts';
import type { ByteStream, StreamReceiver } from '../stream.ts';
import { WheelEntry } from '../wheel.ts';
import { errorAnswer } from './answer.ts';
import { Forward } from './forward.ts';
import { viaOf } from './heads.ts';
import type { ForwardedFor, HostMismatch, HttpLimits } from './options.ts';
import { PinnedEgress } from './pin.ts';
import { hostFault, passedBy, tooLong, unfinished } from './request-faults.ts';
import { RequestMemory } from './request-memory.ts';
import { Tunnel } from './tunnel.ts';

export interface HttpServerContext extends ServerContext {
  readonly limits: HttpLimits;
  readonly realm: string;
  readonly forwardedFor: ForwardedFor;
  readonly hostMismatch: HostMismatch;
  /** Protocols that a forward request may switch to, lower case. */
  readonly upgrades: ReadonlySet<string>;
  /** Line that is added to each message that goes on: RFC 9110 section 7.6.3. */
  readonly via: string;
}

/** A server whose connections may be carried on by the server of a newer release. */
export interface HttpServer {
  readonly context: HttpServerContext;
}

/** What runs on a connection between a request head and the end of its answer. */
export interface Exchange {
  /** Bytes from the client; answers how many of them belong to this exchange. */
  clientData(chunk: Buffer, borrowed: boolean): number;
  clientEnd(): void;
  clientDrain(): void;
  clientClosed(error: Error | null): void;
  timeout(): void;
}

const NOTHING = Buffer.alloc(0);
/** In the place of an exchange once a relay has the stream: it hears nothing any more. */
const JOINED: Exchange = {
  clientData: (chunk) => chunk.length,
  clientEnd() {},
  clientDrain() {},
  clientClosed() {},
  timeout() {},
};
/** So much of a long read is looked at as text while a head is expected. */
const HEAD_WINDOW = 4096;
/** How long a refused client may go on sending before the connection is cut, ms. */
const LINGER_MS = 2000;

export class HttpConnection extends WheelEntry implements StreamReceiver, OpenConnection {
  readonly stream: ByteStream;
  readonly #binding: Binding;
  readonly #serverOf: (binding: Binding) => HttpServer | null;
  #server: HttpServer;
  #exchange: Exchange | null = null;
  /** Bytes of a head that is not complete, or of requests that wait for their turn; latin1. */
  #pending = '';
  /** Where the search for the end of the head goes on. */
  #searched = 0;
  /** The rest of the read that ended with a head, while that head is looked at. */
  #tail: Buffer | null = null;
  #tailBorrowed = false;
  /** The first byte of a head has come. */
  #headBegun = false;
  /** The one empty line that may come before a request has come. */
  #emptyLine = false;
  #requests = 0;
  #pin: PinnedEgress | null = null;
  #closing = false;
  #ended = false;
  #draining = false;
  /** Draining, and yet one request more is taken. */
  #patient = false;
  #reading = false;
  #memory: RequestMemory | null = null;
  #onClosed: () => void;
  #progress: Progress | null = null;

  constructor(
    stream: ByteStream,
    binding: Binding,
    server: HttpServer,
    serverOf: (binding: Binding) => HttpServer | null,
    onClosed: () => void,
  ) {
    super();
    this.stream = stream;
    this.#binding = binding;
    this.#server = server;
    this.#serverOf = serverOf;
    this.#onClosed = onClosed;
    stream.receiver = this;
    binding.open.add(this);
    this.arm(server.context.limits.first_byte_ms);
  }

  get memory(): RequestMemory {
    this.#memory ??= new RequestMemory();
    return this.#memory;
  }

  get client(): string {
    return this.stream.remoteAddress;
  }

  /** The client has sent its FIN. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Will no further request be taken? */
  get last(): boolean {
    return (
      this.#draining ||
      // Requests that came before its FIN are still answered.
      (this.#ended && this.#pending === '') ||
      this.#binding.server === null ||
      this.#requests >= this.#server.context.limits.requests_per_connection
    );
  }

  /** Goes on reading, unless requests ahead of their turn have piled up. */
  readOn(): void {
    if (this.#pending.length <= this.#server.context.limits.header_bytes) this.stream.resume();
  }

  arm(ms: number): void {
    this.#server.context.services.wheel.arm(this, ms);
  }

  onData(chunk: Buffer, borrowed: boolean): void {
    if (this.#closing) return;
    const exchange = this.#exchange;
    if (exchange === null) {
      this.#feed(chunk, borrowed);
      return;
    }
    const taken = exchange.clientData(chunk, borrowed);
    if (taken < chunk.length && !this.#closing) this.#hold(latin1(chunk, taken));
  }

  onEnd(): void {
    this.#ended = true;
    if (this.#exchange) this.#exchange.clientEnd();
    else this.close();
  }

  onDrain(): void {
    if (this.#closing) this.arm(LINGER_MS);
    else if (this.#exchange) this.#exchange.clientDrain();
    else this.next(true);
  }

  onClose(error: Error | null): void {
    this.#closing = true;
    this.#server.context.services.wheel.forget(this);
    this.#binding.open.delete(this);
    this.unpin();
    const exchange = this.#exchange;
    this.#exchange = null;
    exchange?.clientClosed(error);
    this.#onClosed();
  }

  onTimeout(): void {
    if (this.#exchange) this.#exchange.timeout();
    else if (this.#closing) void this.#linger();
    else if (this.#pending === '') this.close();
    else this.#refuse(new GatewayError('request_timeout', 'the request head did not arrive in time'), null);
  }

  /** Closing takes its time only as long as the client takes what waits for it. */
  async #linger(): Promise<void> {
    if (this.stream.blocked) {
      this.#progress ??= new Progress();
      const made = await this.#progress.made(this.stream);
      if (this.stream.destroyed || this.due !== 0) return;
      if (made) {
        this.arm(this.#server.context.limits.body_idle_ms);
        return;
      }
    }
    this.stream.destroy();
  }

  /** A client that sends while we close meets a reset: who is patient lets it ask once more and tells it so. */
  drain(patient = false): void {
    this.#draining = true;
    this.#patient = patient;
    if (!patient && this.#exchange === null && this.#pending === '') this.close();
  }

  destroy(): void {
    this.stream.reset();
  }

  /** The running exchange is over: the next request, or the end. */
  next(persist: boolean): void {
    this.#exchange = null;
    if (!persist || this.#closing || this.stream.destroyed) {
      this.close();
      return;
    }
    if (!this.#headBegun) this.arm(this.#server.context.limits.keepalive_idle_ms);
    this.stream.resume();
    if (this.#pending !== '') this.#read();
    else if (this.last && !(this.#patient && !this.#ended)) this.close();
  }

  /** Keeps a connection to a site for further sessions of this client alone. */
  pin(egress: Egress, session: LiveSession): void {
    const pin = egress instanceof PinnedEgress ? egress : new PinnedEgress(egress, session, session.context);
    if (pin !== this.#pin) this.unpin();
    this.#pin = pin;
    pin.release(true);
  }

  unpin(): void {
    this.#pin?.discard();
    this.#pin = null;
  }

  /** Another exchange goes on in the place of the running one. */
  pass(exchange: Exchange): void {
    this.#exchange = exchange;
  }

  /** The stream now belongs to a relay; this connection only keeps its place among the open ones. */
  detach(): void {
    this.#server.context.services.wheel.forget(this);
    this.unpin();
    this.#exchange = JOINED;
    this.#pending = '';
    this.#memory = null;
  }

  /** The relay is over. */
  detached(): void {
    this.#exchange = null;
    this.#closing = true;
    this.#binding.open.delete(this);
    this.#onClosed();
  }

  /** Bytes that came behind the head that is being served. */
  takePending(): Buffer {
    if (this.#tail !== null) {
      const tail = this.#tailBorrowed ? Buffer.from(this.#tail) : this.#tail;
      this.#tail = null;
      return tail;
    }
    if (this.#pending === '') return NOTHING;
    const bytes = Buffer.from(this.#pending, 'latin1');
    this.#pending = '';
    this.#searched = 0;
    return bytes;
  }

  /** Flushes, sends FIN, and lets go of a peer that goes on sending after a while. */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.unpin();
    this.stream.end();
    this.stream.resume();
    // What waits for a slow reader must reach it first.
    this.arm(this.stream.blocked ? this.#server.context.limits.body_idle_ms : LINGER_MS);
  }

  /** Answers that this connection is not wanted, before it asks for anything, and ends it. */
  reject(error: GatewayError): void {
    this.#refuse(error, null, 0);
  }

  /** Only the head becomes a string: what follows in a long read is most likely its body. */
  #feed(chunk: Buffer, borrowed: boolean): void {
    if (chunk.length > HEAD_WINDOW && this.#pending === '') {
      const text = latin1(chunk, 0, HEAD_WINDOW);
      const found = text.indexOf('\r\n\r\n');
      if (found > 0) {
        this.#pending = text.slice(0, found + 4);
        this.#tail = chunk.subarray(found + 4);
        this.#tailBorrowed = borrowed;
        this.#read();
        this.#untail();
        return;
      }
    }
    this.#pending += latin1(chunk);
    this.#read();
  }

  /** Bytes behind the head that no body took. */
  #untail(): void {
    const tail = this.#tail;
    if (tail === null) return;
    this.#tail = null;
    if (tail.length === 0 || this.#closing) return;
    if (this.#exchange !== null) {
      this.#hold(latin1(tail));
      return;
    }
    this.#pending += latin1(tail);
    this.#read();
  }

  #hold(text: string): void {
    this.#pending += text;
    if (this.#pending.length > this.#server.context.limits.header_bytes) this.stream.pause();
  }

  /** Reads heads off `#pending` as long as none of them waits for something. */
  #read(): void {
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (this.#exchange === null && !this.#closing && this.#pending !== '') {
        // Who does not read its answers gets no further ones: they would pile up here.
        if (this.stream.blocked) {
          this.stream.pause();
          break;
        }
        if (!this.#readHead()) break;
      }
    } finally {
      this.#reading = false;
    }
  }

  /** True when a whole head was there. */
  #readHead(): boolean {
    const server = this.#serverOf(this.#binding);
    if (server === null) {
      this.close();
      return false;
    }
    this.#server = server;
    const { limits } = server.context;
    let text = this.#pending;
    // RFC 9112 section 2.2: an empty line before the request line is let through.
    if (!this.#emptyLine && text.charCodeAt(0) === 13 && text.charCodeAt(1) === 10) {
      text = text.slice(2);
      this.#pending = text;
      this.#searched = 0;
      this.#emptyLine = true;
      if (text === '') return false;
    }
    const known = this.memory.again(text, server.context);
    const found = known === null ? text.indexOf('\r\n\r\n', this.#searched) : known.text.length - 4;
    if (found < 0) {
      if (!this.#headBegun) this.arm(limits.head_ms);
      this.#headBegun = true;
      const wrong = unfinished(text, this.#searched, limits);
      this.#searched = Math.max(0, text.length - 3);
      if (wrong) this.#refuse(wrong, null);
      else if (this.#ended) this.close();
      return false;
    }
    const end = found + 4;
    this.#searched = 0;
    this.#headBegun = false;
    this.#emptyLine = false;
    if (end > limits.header_bytes) {
      this.#refuse(tooLong(text, limits), null);
      return false;
    }
    const head = known === null ? this.memory.read(text, end, server.context) : known.head;
    if (isRefused(head)) {
      this.#refuse(new GatewayError(head.code, head.reason), null);
      return false;
    }
    this.#pending = end === text.length ? '' : text.slice(end);
    this.#begin(server.context, head, end);
    return true;
  }

  #begin(context: HttpServerContext, head: RequestHead, headBytes: number): void {
    const tunnel = head.method === 'CONNECT';
    const authority = tunnel ? parseAuthority(head.authority, 0) : this.memory.authorityOf(head);
    if (isRefused(authority)) {
      this.#refuse(new GatewayError('bad_request', `request target: ${authority.reason}`), head, headBytes);
      return;
    }
    if (head.host !== head.authority && head.hasHost) {
      const wrong = hostFault(context.hostMismatch, head, authority);
      if (wrong) {
        this.#refuse(wrong, head, headBytes);
        return;
      }
    }
    if (head.via !== '' && passedBy(head.via, context.services.worker)) {
      this.#refuse(new GatewayError('loop_detected', 'this worker is in Via already'), head, headBytes);
      return;
    }
    this.#requests++;
    const session = new LiveSession(context, {
      purpose: tunnel ? 'tunnel' : 'forward',
      method: head.method,
      target: authority,
      authority: authority.text,
      path: head.path,
      via: tunnel ? viaOf(head, context.via) : '',
      client: this.client,
      credentials: this.memory.credentialsOf(head),
    });
    session.bytes_in = headBytes;
    if (tunnel) {
      const exchange = new Tunnel(this, context, head, session);
      this.#exchange = exchange;
      exchange.start();
      return;
    }
    session.held = this.#pin;
    const exchange = new Forward(this, context, head, authority.text, session);
    this.#exchange = exchange;
    this.arm(context.limits.response_head_ms);
    // Bytes behind the head: the body's first, what is left is the next request.
    if (head.hasBody && this.#tail !== null) {
      this.#tail = this.#tail.subarray(exchange.clientData(this.#tail, this.#tailBorrowed));
    } else if (head.hasBody && this.#pending !== '') {
      const bytes = this.takePending();
      const taken = exchange.clientData(bytes, false);
      if (taken < bytes.length) this.#pending = latin1(bytes, taken);
    }
    exchange.start();
    if (this.#exchange !== null && this.#pending !== '') this.#hold('');
  }

  /** Answers a message that did not become a session, and closes. It is counted and logged all the same. */
  #refuse(error: GatewayError, head: RequestHead | null, read = this.#pending.length): void {
    const { context } = this.#server;
    const session = new LiveSession(context, {
      purpose: 'forward',
      method: head?.method ?? '',
      target: { host: '', port: 0, literal: false, key: '' },
      authority: head?.authority ?? '',
      path: '',
      via: '',
      client: this.client,
      credentials: '',
    });
    const answer = errorAnswer(error, head, {
      worker: context.services.worker,
      realm: context.realm,
      persist: false,
      authority: head?.authority ?? '',
    });
    session.status = error.status;
    session.bytes_in = read;
    session.bytes_out = answer.length;
    this.stream.write(answer);
    session.record(error);
    this.close();
  }
}
