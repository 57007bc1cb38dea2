/** A forward request: the client's request to the site, the site's answer to the client. */
import type { RequestHead } from '@arcus/protocol/http1/request.ts';
import { type Framing, type ResponseHead, responseFraming } from '@arcus/protocol/http1/response.ts';
import { latin1 } from '../bytes.ts';
import { GatewayError } from '../errors.ts';
import type { Egress } from '../kind.ts';
import { Progress } from '../progress.ts';
import type { LiveSession } from '../session.ts';
import type { ByteStream, StreamReceiver } from '../stream.ts';
import { errorAnswer } from './answer.ts';
import type { HeadReceiver } from './answer-heads.ts';
import { BodyReader } from './body.ts';
import type { Exchange, HttpConnection, HttpServerContext } from './connection.ts';
import { interimText, lastRecipientText, upgradeText } from './heads.ts';
import { enterTunnel } from './inspected.ts';
import { join } from './join.ts';
import { PinnedEgress } from './pin.ts';
import { allowedUpgrades, isWebSocket, offered } from './upgrade.ts';

/** Methods that may be sent again on a fresh connection: RFC 9110 section 9.2.2. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

export class Forward implements Exchange, StreamReceiver, HeadReceiver {
  readonly #connection: HttpConnection;
  readonly #context: HttpServerContext;
  readonly #head: RequestHead;
  readonly #authority: string;
  readonly #session: LiveSession;
  #egress: Egress | null = null;
  #finished = false;

  // the request on its way
  readonly #request: BodyReader | null;
  #requestDone: boolean;
  #requestBytes = 0;
  /** Body bytes that came before the way was open. */
  #early: Buffer[] = [];
  #started = false;

  // the answer on its way
  #response: ResponseHead | null = null;
  #framing: Framing = 'none';
  #body: BodyReader | null = null;
  #unchunk = false;
  #persist = false;
  #upstreamPersist = false;
  #answered = false;
  #interims = 0;
  /** What was taken when a timeout found a side blocked. */
  #progress: Progress | null = null;
  /** The protocols that the site was asked to switch to. */
  #upgradeAsked = '';

  constructor(
    connection: HttpConnection,
    context: HttpServerContext,
    head: RequestHead,
    authority: string,
    session: LiveSession,
  ) {
    this.#connection = connection;
    this.#context = context;
    this.#head = head;
    this.#authority = authority;
    this.#session = session;
    this.#request = head.hasBody ? new BodyReader(head.chunked ? 'chunked' : 'length', head) : null;
    this.#requestDone = this.#request === null;
  }

  start(): void {
    if (this.#finished) return;
    const head = this.#head;
    try {
      if (head.contentLength > this.#context.limits.body_bytes) throw new GatewayError('body_too_large');
      if (head.maxForwards === 0) {
        const asked = this.#session.vet();
        if (asked instanceof Promise)
          asked.then(
            () => this.#answerLast(),
            (error) => this.#fail(error),
          );
        else this.#answerLast();
        return;
      }
      const way = this.#session.admit();
      this.#started = true;
      if (way instanceof Promise && this.#early.length > 0) this.#early = [Buffer.concat(this.#early)];
      this.#follow(way);
    } catch (error) {
      this.#fail(error);
    }
  }

  // ── from the client ──────────────────────────────────────────────────────────────────────────────────────────

  clientData(chunk: Buffer, borrowed: boolean): number {
    const body = this.#request;
    if (body === null || this.#requestDone) return 0;
    const taken = body.take(chunk, 0);
    if (taken < 0) {
      this.#fail(new GatewayError('bad_request', body.fault));
      return chunk.length;
    }
    this.#requestDone = body.done;
    this.#requestBytes += taken;
    this.#session.bytes_in += taken;
    if (this.#requestBytes > this.#context.limits.body_bytes) {
      this.#fail(new GatewayError('body_too_large'));
      return chunk.length;
    }
    if (this.#finished || taken === 0) return taken;
    const part = taken === chunk.length ? chunk : chunk.subarray(0, taken);
    if (this.#egress === null) {
      // Until `start` has looked for a way the read is still ours: it is copied only when the way is not open at once.
      this.#early.push(borrowed && this.#started ? Buffer.from(part) : part);
      this.#connection.stream.pause();
    } else {
      this.#arm();
      if (!this.#egress.stream.write(part, borrowed)) this.#connection.stream.pause();
    }
    return taken;
  }

  clientEnd(): void {
    // A half-close after a whole request is fine: the answer still goes out.
    if (!this.#requestDone)
      this.#abort(new GatewayError('client_closed', 'the client stopped in the middle of the body'));
  }

  clientDrain(): void {
    if (this.#response !== null) this.#arm();
    this.#egress?.stream.resume();
  }

  clientClosed(error: Error | null): void {
    // A reset goes on as a reset: the site must not wait for the rest.
    if (error && !this.#finished) this.#egress?.stream.reset();
    this.#end(new GatewayError('client_closed', error ? 'reset' : ''));
  }

  timeout(): void {
    if (this.#egress === null) {
      this.#fail(new GatewayError('connect_timeout', 'no way out in time'));
      return;
    }
    const client = this.#connection.stream;
    const site = this.#egress.stream;
    if (client.blocked || site.blocked) void this.#look(client, site);
    else if (this.#requestDone) this.#fail(new GatewayError('response_timeout'));
    else this.#fail(new GatewayError('request_timeout', 'the request body stopped'));
  }

  /** Something waits to be taken: whoever takes it slowly has all the time that it needs. */
  async #look(client: ByteStream, site: ByteStream): Promise<void> {
    this.#progress ??= new Progress();
    const made = await this.#progress.made(client, site);
    // Over meanwhile, or something moved that set the next timeout.
    if (this.#finished || this.#connection.due !== 0) return;
    if (made) this.#arm();
    else if (client.blocked) this.#fail(new GatewayError('client_stalled'));
    else this.#fail(new GatewayError('response_timeout', 'the site stopped taking the request body'));
  }

  /** Once the whole request has left the site has its time to answer; until then and after it bytes must move. */
  #arm(): void {
    const { limits } = this.#context;
    const waits = this.#requestDone && this.#response === null;
    this.#connection.arm(waits ? limits.response_head_ms : limits.body_idle_ms);
  }

  // ── the way out ──────────────────────────────────────────────────────────────────────────────────────────────

  #follow(way: Egress | Promise<Egress>): void {
    if (way instanceof Promise)
      way.then(
        (egress) => this.#open(egress),
        (error) => this.#fail(error),
      );
    else this.#open(way);
  }

  #open(egress: Egress): void {
    if (this.#finished) {
      egress.release(false);
      return;
    }
    this.#egress = egress;
    egress.stream.receiver = this;
    if (this.#head.upgrade !== '' && !this.#head.hasBody)
      this.#upgradeAsked = allowedUpgrades(this.#head.upgrade, this.#context.upgrades);
    const head = this.#connection.memory.textOf(
      this.#head,
      this.#authority,
      egress,
      this.#context,
      this.#session.client,
      this.#upgradeAsked,
    );
    if (!this.#requestDone) this.#connection.arm(this.#context.limits.body_idle_ms);
    if (this.#early.length === 0) {
      egress.stream.write(head);
      if (!this.#requestDone) this.#connection.stream.resume();
      return;
    }
    const body = this.#early.length === 1 ? this.#early[0]! : Buffer.concat(this.#early);
    this.#early = [];
    if (egress.stream.writeBoth(head, body)) this.#connection.stream.resume();
    else this.#connection.stream.pause();
  }

  // ── from the site ────────────────────────────────────────────────────────────────────────────────────────────

  onData(chunk: Buffer, borrowed: boolean): void {
    if (this.#response !== null) this.#content(chunk, borrowed);
    else this.#egress!.answers.read(chunk, this.#context.limits, this);
  }

  onHead(head: ResponseHead, text: string, end: number, chunk: Buffer, from: number): boolean {
    if (head.status === 101) this.#upgrade(head, chunk, from);
    else if (head.status >= 200) this.#answer(head, text, end, chunk, from);
    else {
      this.#interim(head);
      return true;
    }
    return false;
  }

  onBadHead(reason: string): void {
    this.#fail(new GatewayError('upstream_invalid', reason));
  }

  onEnd(): void {
    if (this.#finished) return;
    if (this.#response === null) this.#lost('closed without an answer');
    else if (this.#framing === 'close') this.#complete();
    else this.#abort(new GatewayError('upstream_closed', 'the answer was cut short'));
  }

  onDrain(): void {
    this.#arm();
    // Also when all of the body has come: only a connection that is read tells when the client is gone.
    this.#connection.readOn();
  }

  onClose(error: Error | null): void {
    if (this.#finished) return;
    if (this.#response === null)
      this.#lost((error as NodeJS.ErrnoException | null)?.code ?? 'closed without an answer');
    else if (this.#framing === 'close' && error === null) this.#complete();
    else this.#abort(new GatewayError('upstream_closed', 'the answer was cut short'));
  }

  /** RFC 9110 section 15.2: passed on, but not to a client that would not understand. */
  #interim(head: ResponseHead): void {
    this.#interims++;
    if (this.#head.minor === 0) return;
    const text = interimText(head, this.#context.via);
    this.#session.bytes_out += text.length;
    if (!this.#connection.stream.write(text)) this.#egress!.stream.pause();
  }

  /** `text` holds the head up to `end`, `chunk` the first bytes of the body from `from` on. */
  #answer(head: ResponseHead, text: string, end: number, chunk: Buffer, from: number): void {
    const request = this.#head;
    if (head.status === 407) {
      // Who is before us must answer it, and the client cannot: what it knows is for this proxy.
      const who = this.#egress!.form === 'absolute' ? 'the next proxy' : 'the site';
      this.#fail(new GatewayError('upstream_refused', `${who} asked for credentials of a proxy (407)`));
      return;
    }
    this.#response = head;
    this.#framing = responseFraming(head, request.method);
    // 204 with a body all the same (RFC 9112 section 6.3 ignores it): its bytes must not be anybody's answer.
    const odd = head.status === 204 && (head.chunked || head.contentLength > 0);
    this.#upstreamPersist = head.persistent && this.#framing !== 'close' && !odd;
    // RFC 9112 section 6.1: no Transfer-Encoding to an HTTP/1.0 client, with or without a body behind it.
    this.#unchunk = head.chunked && request.minor === 0;
    if (this.#framing !== 'none') this.#body = new BodyReader(this.#framing, head);
    // An HTTP/1.0 client gets no persistent connection (RFC 9112 section 9.3); a body that still flows ends it too.
    this.#persist =
      request.persistent &&
      request.minor === 1 &&
      this.#framing !== 'close' &&
      this.#requestDone &&
      // What the client sent ahead was meant for the other protocol: it is never read as a request.
      this.#upgradeAsked === '' &&
      !this.#connection.last;

    const out = this.#egress!.answers.textOf(head, this.#unchunk, this.#persist, this.#context.via);
    const left = chunk.length - from;
    if (this.#framing === 'none') {
      this.#begun(out);
      this.#connection.stream.write(out);
      // Bytes behind an answer that has no body belong to nobody: the connection is not used again.
      if (left > 0) this.#upstreamPersist = false;
      this.#complete();
      return;
    }
    this.#connection.arm(this.#context.limits.body_idle_ms);
    if (left === 0) {
      this.#begun(out);
      if (!this.#connection.stream.write(out)) this.#egress!.stream.pause();
      return;
    }
    if (this.#unchunk) {
      this.#unchunked(chunk, from, out);
      return;
    }
    const stop = this.#take(chunk, from);
    if (stop < 0) return;
    this.#begun(out);
    this.#session.bytes_out += stop - from;
    // Head and first bytes leave in one write; a short body is a string already.
    const flushed =
      text.length - end === left
        ? this.#connection.stream.write(out + text.slice(end, end + stop - from))
        : this.#connection.stream.writeBoth(out, chunk.subarray(from, stop));
    this.#more(flushed);
  }

  /** From here on the client has (a part of) an answer: nothing else can be said instead. */
  #begun(out: string): void {
    this.#answered = true;
    this.#session.status = this.#response!.status;
    this.#session.bytes_out += out.length;
  }

  /** Body bytes of the answer: all of `chunk`. */
  #content(chunk: Buffer, borrowed: boolean): void {
    if (this.#finished) return;
    this.#connection.arm(this.#context.limits.body_idle_ms);
    if (this.#unchunk) {
      this.#unchunked(chunk, 0, '');
      return;
    }
    const stop = this.#take(chunk, 0);
    if (stop < 0) return;
    this.#session.bytes_out += stop;
    this.#more(this.#connection.stream.write(stop === chunk.length ? chunk : chunk.subarray(0, stop), borrowed));
  }

  /** Where the part of `chunk` that belongs to this body ends; -1 when the body is broken and the exchange over. */
  #take(chunk: Buffer, from: number, onContent?: (from: number, to: number) => void): number {
    const body = this.#body!;
    const stop = body.take(chunk, from, onContent);
    if (stop < 0) {
      this.#fail(new GatewayError('upstream_invalid', body.fault));
      return -1;
    }
    // Bytes behind the end belong to nobody.
    if (stop < chunk.length) this.#upstreamPersist = false;
    return stop;
  }

  #more(flushed: boolean): void {
    if (this.#body!.done) this.#complete();
    else if (!flushed) this.#egress!.stream.pause();
  }

  /** For an HTTP/1.0 client: the content without its framing; the end of the connection is the end of the body. */
  #unchunked(chunk: Buffer, from: number, head: string): void {
    const parts: Buffer[] = [];
    const stop = this.#take(chunk, from, (a, b) => parts.push(chunk.subarray(a, b)));
    if (stop < 0) return;
    const content = Buffer.concat(parts);
    if (head !== '') this.#begun(head);
    this.#session.bytes_out += content.length;
    this.#more(head.length + content.length === 0 || this.#connection.stream.writeBoth(head, content));
  }

  /** 101: from here on both sides speak something else; only when the client asked for it. */
  #upgrade(head: ResponseHead, chunk: Buffer, from: number): void {
    const egress = this.#egress!;
    if (!offered(this.#upgradeAsked, head.upgrade)) {
      this.#fail(new GatewayError('upstream_invalid', 'the site switched protocols and nobody asked'));
      return;
    }
    const session = this.#session;
    const out = upgradeText(head, this.#context.via);
    session.status = 101;
    session.bytes_out += out.length + (chunk.length - from);
    this.#finished = true;
    const connection = this.#connection;
    const early = connection.takePending();
    connection.stream.write(from < chunk.length ? out + latin1(chunk, from) : out);
    // What the client says next is WebSocket when the site has accepted that; all else an auditor must see first.
    if (this.#context.auditor !== null && isWebSocket(this.#head, head)) {
      session.protocol = 'websocket';
      join(connection, this.#context, egress, session, early);
    } else enterTunnel(connection, this.#context, egress, session, early.length === 0 ? [] : [early], connection.ended);
  }

  // ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** The site went away before its first byte: once more on a fresh connection, where that is safe. */
  #lost(detail: string): void {
    const egress = this.#egress!;
    const silent = !egress.answers.begun && this.#interims === 0;
    const again = egress.reused && silent && !this.#head.hasBody && IDEMPOTENT.has(this.#head.method);
    if (!again) {
      this.#fail(new GatewayError('upstream_closed', detail));
      return;
    }
    this.#egress = null;
    egress.release(false);
    try {
      this.#follow(this.#session.reroute());
    } catch (error) {
      this.#fail(error);
    }
  }

  #complete(): void {
    if (this.#finished) return;
    // Closed as this exchange: reused as a connection only when nothing is left on it in either direction.
    const egress = this.#egress!;
    this.#finished = true;
    this.#session.record(null);
    const keep = this.#upstreamPersist && this.#requestDone;
    if (keep && (this.#head.boundLogin || this.#response!.boundLogin || egress instanceof PinnedEgress))
      this.#connection.pin(egress, this.#session);
    else egress.release(keep, openFor(this.#response!));
    this.#connection.next(this.#persist);
  }

  /** Nothing was answered yet: say why. Otherwise the only honest end is a cut connection. */
  #fail(error: unknown): void {
    if (this.#finished) return;
    const known = GatewayError.of(error);
    if (this.#answered) {
      this.#abort(known);
      return;
    }
    const persist =
      this.#requestDone &&
      this.#head.persistent &&
      this.#head.minor === 1 &&
      known.code !== 'bad_request' &&
      known.code !== 'body_too_large' &&
      !this.#connection.last;
    const answer = errorAnswer(known, this.#head, {
      worker: this.#context.services.worker,
      realm: this.#context.realm,
      persist,
      authority: this.#authority,
    });
    this.#session.status = known.status;
    this.#session.bytes_out += answer.length;
    this.#connection.stream.write(answer);
    this.#end(known);
    this.#connection.next(persist);
  }

  #abort(error: GatewayError): void {
    if (this.#finished) return;
    this.#end(error);
    this.#connection.stream.reset();
  }

  #end(error: GatewayError): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#session.record(error);
    const egress = this.#egress;
    this.#egress = null;
    egress?.release(false);
  }

  /** Max-Forwards 0: this proxy is the final recipient (RFC 9110 section 7.6.2). */
  #answerLast(): void {
    const persist = this.#requestDone && this.#head.persistent && this.#head.minor === 1 && !this.#connection.last;
    const text = lastRecipientText(this.#head, persist);
    this.#finished = true;
    this.#session.status = 200;
    this.#session.bytes_out += text.length;
    this.#connection.stream.write(text);
    this.#session.record(null);
    this.#connection.next(persist);
  }
}

const openFor = ({ keepAliveTimeout }: ResponseHead): number | undefined =>
  keepAliveTimeout < 0 ? undefined : keepAliveTimeout * 1000;
