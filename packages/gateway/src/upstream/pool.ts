import { z } from 'zod';
import { AnswerHeads } from '../http/answer-heads.ts';
import type { Egress } from '../kind.ts';
import type { ByteStream, StreamReceiver } from '../stream.ts';
import { type Wheel, WheelEntry } from '../wheel.ts';

export const poolConfig = z
  .strictObject({
    max_idle_per_origin: z.int().min(0).max(10_000).default(64).describe('Idle connections kept for one origin'),
    max_idle: z
      .int()
      .min(1)
      .max(100_000)
      .default(1024)
      .describe(
        'Idle connections that each process keeps for all origins; the one idle longest is closed for a new one',
      ),
    idle_timeout_ms: z
      .int()
      .min(1000)
      .max(3_600_000)
      .default(55_000)
      .describe(
        'An idle connection is closed after this time, ms; before the origin closes it, if its answers say when',
      ),
    max_age_ms: z
      .int()
      .min(1000)
      .max(86_400_000)
      .default(600_000)
      .describe('A connection older than this is not used again, ms'),
    max_uses: z.int().min(1).max(10_000_000).default(100_000).describe('Requests one connection carries at most'),
  })
  .prefault({})
  .describe('Connections kept open for the next forward request');
export type PoolSettings = z.output<typeof poolConfig>;

export interface EgressInfo {
  escaper: string;
  form: 'origin' | 'absolute';
  headers: string;
  peer: string;
}

/** So long before its origin does a connection is closed, ms: the way there, and what the clocks disagree on. */
const AHEAD_MS = 1000;

/** Idle connections to origins, by key. One pool belongs to one escaper of one tenant: nothing is shared further. */
export class UpstreamPool {
  readonly #idle = new Map<string, PooledConnection[]>();
  /** All of them, the one idle longest first. */
  readonly #all = new Set<PooledConnection>();
  readonly settings: PoolSettings;
  readonly wheel: Wheel;
  #closed = false;

  constructor(settings: PoolSettings, wheel: Wheel) {
    this.settings = settings;
    this.wheel = wheel;
  }

  /** A connection that is idle and sound, the one used last first; null when there is none. */
  take(key: string): Egress | null {
    const list = this.#idle.get(key);
    if (list === undefined) return null;
    for (;;) {
      const connection = list.pop();
      // An origin that has no idle connection leaves nothing behind.
      if (list.length === 0) this.#idle.delete(key);
      if (connection === undefined) return null;
      this.#all.delete(connection);
      if (connection.leave()) return connection;
    }
  }

  /** A fresh connection as an Egress whose `release(true)` brings it into the pool. */
  egress(stream: ByteStream, key: string, info: EgressInfo): Egress {
    return new PooledConnection(this, stream, key, info);
  }

  /** Idle connections now. */
  get size(): number {
    return this.#all.size;
  }

  close(): void {
    this.#closed = true;
    for (const connection of this.#all) connection.drop();
    this.#all.clear();
    this.#idle.clear();
  }

  /** The pool's own: takes a connection in, or refuses. */
  put(connection: PooledConnection): boolean {
    const list = this.#idle.get(connection.key);
    if (this.#closed || (list?.length ?? 0) >= this.settings.max_idle_per_origin) return false;
    if (list === undefined) this.#idle.set(connection.key, [connection]);
    else list.push(connection);
    this.#all.add(connection);
    if (this.#all.size > this.settings.max_idle) this.#all.values().next().value!.die();
    return true;
  }

  /** The pool's own: forgets an idle connection that died. */
  remove(connection: PooledConnection): void {
    this.#all.delete(connection);
    const list = this.#idle.get(connection.key);
    const i = list?.indexOf(connection) ?? -1;
    if (i >= 0) list!.splice(i, 1);
    if (list?.length === 0) this.#idle.delete(connection.key);
  }
}

class PooledConnection extends WheelEntry implements Egress, StreamReceiver {
  readonly stream: ByteStream;
  readonly escaper: string;
  readonly form: 'origin' | 'absolute';
  readonly headers: string;
  readonly peer: string;
  readonly key: string;
  readonly answers = new AnswerHeads();
  reused = false;
  readonly #pool: UpstreamPool;
  /** Tick of the wheel: an age needs no finer clock. */
  readonly #born: number;
  #uses = 0;

  constructor(pool: UpstreamPool, stream: ByteStream, key: string, info: EgressInfo) {
    super();
    this.#pool = pool;
    this.stream = stream;
    this.key = key;
    this.escaper = info.escaper;
    this.form = info.form;
    this.headers = info.headers;
    this.peer = info.peer;
    this.#born = pool.wheel.tick;
  }

  release(reusable: boolean, openMs = Number.POSITIVE_INFINITY): void {
    const { settings, wheel } = this.#pool;
    this.reused = true;
    const age = (wheel.tick - this.#born) * wheel.tickMs;
    // Closed here before the origin does it (the wheel is up to one tick late): no request meets its FIN.
    const left = Math.min(settings.idle_timeout_ms, settings.max_age_ms - age, openMs - AHEAD_MS - wheel.tickMs);
    const spent = ++this.#uses >= settings.max_uses || left < 0;
    if (!reusable || spent || this.stream.destroyed || !this.#pool.put(this)) {
      this.drop();
      return;
    }
    this.stream.receiver = this;
    wheel.arm(this, left);
  }

  /** Leaves the pool to serve again; false when it died while idle. */
  leave(): boolean {
    this.#pool.wheel.disarm(this);
    return !this.stream.destroyed;
  }

  drop(): void {
    this.#pool.wheel.forget(this);
    this.stream.receiver = gone;
    this.stream.destroy();
  }

  // While idle: anything that comes makes the connection unusable, above all bytes that nobody asked for.
  onData(): void {
    this.die();
  }
  onEnd(): void {
    this.die();
  }
  onClose(): void {
    this.die();
  }
  onDrain(): void {}
  onTimeout(): void {
    this.die();
  }

  /** No longer fit to be kept. */
  die(): void {
    this.#pool.remove(this);
    this.drop();
  }
}

const gone: StreamReceiver = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };

/** A connection that carries one tunnel and is never used again. */
export function tunnelEgress(stream: ByteStream, escaper: string, peer: string): Egress {
  return new TunnelEgress(stream, escaper, peer);
}

class TunnelEgress implements Egress {
  readonly stream: ByteStream;
  readonly escaper: string;
  readonly peer: string;
  readonly form = 'origin';
  readonly headers = '';
  readonly reused = false;

  /** For the interface alone: a tunnel carries no answer that is read here. */
  get answers(): AnswerHeads {
    return new AnswerHeads();
  }

  constructor(stream: ByteStream, escaper: string, peer: string) {
    this.stream = stream;
    this.escaper = escaper;
    this.peer = peer;
  }

  release(): void {
    this.stream.destroy();
  }
}
