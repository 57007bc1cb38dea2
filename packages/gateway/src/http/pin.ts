import type { Egress } from '../kind.ts';
import type { HeldWay, ServerContext, Session } from '../session.ts';
import type { ByteStream, StreamReceiver } from '../stream.ts';
import type { AnswerHeads } from './answer-heads.ts';

/**
 * A connection to a site on which somebody may be logged in (NTLM, Negotiate: RFC 4559 section 6). It serves sessions of
 * one client connection alone, to the same site, for the same user and by the same release, and never goes back to a pool.
 */
export class PinnedEgress implements Egress, HeldWay, StreamReceiver {
  readonly stream: ByteStream;
  readonly escaper: string;
  readonly form: 'origin' | 'absolute';
  readonly headers: string;
  readonly peer: string;
  readonly answers: AnswerHeads;
  readonly reused = true;
  readonly #inner: Egress;
  readonly #context: ServerContext;
  readonly #site: string;
  readonly #user: string;
  #busy = true;
  #gone = false;

  constructor(inner: Egress, session: Session, context: ServerContext) {
    this.stream = inner.stream;
    this.escaper = inner.escaper;
    this.form = inner.form;
    this.headers = inner.headers;
    this.peer = inner.peer;
    this.answers = inner.answers;
    this.#inner = inner;
    this.#context = context;
    this.#site = session.target.key;
    this.#user = session.user;
  }

  take(session: Session, context: ServerContext): Egress | null {
    // Another release may take another way, or dial from elsewhere.
    if (context !== this.#context || session.user !== this.#user) this.discard();
    if (this.#gone || this.stream.destroyed || session.target.key !== this.#site) return null;
    this.#busy = true;
    return this;
  }

  /** Not wanted any more: ends unless a session uses it, which gives it back itself. */
  discard(): void {
    if (!this.#busy) this.release(false);
  }

  release(reusable: boolean): void {
    if (this.#gone) return;
    this.#busy = false;
    if (reusable && !this.stream.destroyed) {
      this.stream.receiver = this;
      return;
    }
    this.#gone = true;
    this.#inner.release(false);
  }

  // While idle: bytes that nobody asked for make it unusable, as does its end.
  onData(): void {
    this.release(false);
  }
  onEnd(): void {
    this.release(false);
  }
  onDrain(): void {}
  onClose(): void {
    this.release(false);
  }
}
