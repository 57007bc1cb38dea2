/** Runs a case on the real server, in memory: no socket, so that ten thousands of cuts take seconds. */
import { protocolInspection } from '@arcus/gateway/auditors/protocol_inspection.ts';
import type { Auditor, Binding, Escaper, UserGroup } from '@arcus/gateway/kind.ts';
import { startTestProxy, type TestProxy } from '@arcus/gateway/testing/proxy.ts';
import { poolConfig, tunnelEgress, UpstreamPool } from '@arcus/gateway/upstream/pool.ts';
import { Wheel } from '@arcus/gateway/wheel.ts';
import { type Case, FIN, RST } from './case.ts';
import { MemoryStream } from './memory.ts';
import { OriginScript } from './script.ts';

/** How the bytes are cut on their way. */
export interface Cuts {
  /** The client's bytes, over all steps: cut before this index; 'each': one byte at a time. */
  client?: number | 'each';
  /** The origin's bytes, over all it says. */
  origin?: number | 'each';
  /** The way to the origin opens later, not at once. */
  slow?: true;
}

export interface Outcome {
  /** All that the client got. */
  client: string;
  end: 'kept' | 'closed' | 'reset';
  /** All that reached the origin, for each connection. */
  reached: string[];
  /** Idle connections to the origin afterwards. */
  pooled: number;
  /** Decisions recorded, and sessions that never ended. */
  decisions: number;
  open: number;
  bytesOut: number;
  /** After each step: how much the client and the origin had got. */
  marks: { client: number; reached: number }[];
  /** How much the origin said. */
  said: number;
}

export const users: UserGroup = {
  name: 'users',
  type: 'basic',
  authenticate: (credentials) =>
    credentials === Buffer.from('ann:pw').toString('base64')
      ? {
          name: 'ann',
          group: 'users',
          blocked: false,
          ports: undefined,
          requestRateLimit: undefined,
          denies: () => null,
        }
      : null,
};

export const auditor = protocolInspection.create(
  protocolInspection.config.parse({ name: 'auditor', type: 'protocol_inspection', prohibit_unknown_protocol: true }),
  {} as never,
) as Auditor;

/** Pieces of `text`, which is the part from `offset` of a longer whole, as `cut` asks. */
function pieces(text: string, offset: number, cut: number | 'each' | undefined): string[] {
  if (cut === 'each') return [...text];
  if (cut === undefined || cut <= offset || cut >= offset + text.length) return [text];
  return [text.slice(0, cut - offset), text.slice(cut - offset)];
}

const quiet = async () => {
  for (let i = 0; i < 4; i++) await new Promise(setImmediate);
};

/** A proxy of one configuration that runs case after case. */
export class World {
  readonly #proxy: TestProxy;
  readonly #wheel: Wheel;
  #pool!: UpstreamPool;
  #connect: (key: string, tunnel: boolean) => MemoryStream = () => {
    throw new Error('no case runs');
  };
  #slow = false;

  static async start(c: Pick<Case, 'server' | 'users' | 'inspect'>): Promise<World> {
    const wheel = new Wheel(1000);
    let world: World | undefined;
    const escaper: Escaper = {
      name: 'open',
      type: 'direct',
      connect: (target, _session, purpose, fresh) => world!.#open(`${target.host}:${target.port}`, purpose, fresh),
    };
    const proxy = await startTestProxy({
      escaper,
      ...(c.server ? { server: c.server } : {}),
      ...(c.users ? { userGroup: users } : {}),
      ...(c.inspect ? { auditor } : {}),
    });
    world = new World(proxy, wheel);
    return world;
  }

  private constructor(proxy: TestProxy, wheel: Wheel) {
    this.#proxy = proxy;
    this.#wheel = wheel;
  }

  async close(): Promise<void> {
    this.#wheel.close();
    await this.#proxy.close();
  }

  #open(key: string, purpose: 'tunnel' | 'forward', fresh?: boolean) {
    if (purpose === 'forward' && !fresh) {
      const idle = this.#pool.take(key);
      if (idle) return idle;
    }
    const make = () => {
      const stream = this.#connect(key, purpose === 'tunnel');
      if (purpose === 'tunnel') return tunnelEgress(stream, 'open', key);
      return this.#pool.egress(stream, key, { escaper: 'open', form: 'origin', headers: '', peer: key });
    };
    return this.#slow ? new Promise(setImmediate).then(make) : make();
  }

  /** Runs one case; fails only when the proxy throws. */
  async run(c: Case, cuts: Cuts = {}): Promise<Outcome> {
    const proxy = this.#proxy;
    const upstreams: MemoryStream[] = [];
    const script = new OriginScript(c);
    const before = proxy.decisions.length;
    let said = 0;
    this.#slow = cuts.slow === true;
    this.#pool = new UpstreamPool(poolConfig.parse({}), this.#wheel);
    this.#connect = () => {
      const stream = new MemoryStream('127.0.0.1');
      upstreams.push(stream);
      const hear = script.connection({
        send(bytes) {
          const offset = said;
          said += bytes.length;
          for (const piece of pieces(bytes, offset, cuts.origin)) stream.feed(piece);
        },
        end: (how) => stream.feedEnd(how),
      });
      let due = false;
      stream.onActivity = () => {
        if (due) return;
        due = true;
        queueMicrotask(() => {
          due = false;
          if (!stream.destroyed) hear(stream.written);
        });
      };
      setImmediate(stream.onActivity);
      return stream;
    };

    const client = new MemoryStream('127.0.0.1');
    const binding = proxy.binding as Binding;
    binding.server!.serve(client, binding);
    const marks: Outcome['marks'] = [];
    const reached = () => upstreams.reduce((n, s) => n + s.written.length, 0);
    let sent = 0;
    for (const step of typeof c.client === 'string' ? [c.client] : c.client) {
      if (step === FIN || step === RST) client.feedEnd(step === FIN ? 'fin' : 'reset');
      else {
        const parts = pieces(step, sent, cuts.client);
        sent += step.length;
        for (const [i, part] of parts.entries()) {
          client.feed(part);
          if (i === 0 && parts.length === 2) await quiet();
        }
      }
      await quiet();
      marks.push({ client: client.written.length, reached: reached() });
    }
    const outcome: Outcome = {
      client: client.written,
      end: client.state,
      reached: upstreams.map((s) => s.written),
      pooled: this.#pool.size,
      decisions: 0,
      open: 0,
      bytesOut: 0,
      marks,
      said,
    };
    // The client goes away: all must be given back.
    client.feedEnd('reset');
    client.resume();
    await quiet();
    for (const stream of upstreams) stream.feedEnd('reset');
    this.#pool.close();
    await quiet();
    const decisions = proxy.decisions.splice(before);
    outcome.decisions = decisions.length;
    outcome.bytesOut = decisions.reduce((n, d) => n + d.bytes_out, 0);
    outcome.open = proxy.sessions() + proxy.binding.open.size;
    return outcome;
  }
}
