/** The table once more on real sockets: what was shown in memory must hold where the kernel cuts and joins. */
import { after, describe, it } from 'node:test';
import type { Escaper } from '@arcus/gateway/kind.ts';
import { startTestProxy, type TestProxy } from '@arcus/gateway/testing/proxy.ts';
import { dial } from '@arcus/gateway/upstream/dial.ts';
import { poolConfig, tunnelEgress, UpstreamPool } from '@arcus/gateway/upstream/pool.ts';
import { Wheel } from '@arcus/gateway/wheel.ts';
import { startRawOrigin } from '@arcus/testkit/origin.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { until } from '@arcus/testkit/until.ts';
import { topics } from './cases/topics.ts';
import { type Case, FIN, RST } from './lib/case.ts';
import { check } from './lib/check.ts';
import { OriginScript } from './lib/script.ts';
import { auditor, type Outcome, users, World } from './lib/world.ts';

const closers: (() => unknown)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});

/** Where the proxies go, whatever the target says. */
let site = 0;
let pool: UpstreamPool;
const wheel = new Wheel(1000);
closers.push(() => wheel.close());

const escaper: Escaper = {
  name: 'open',
  type: 'direct',
  connect(target, _session, purpose, fresh) {
    const key = `${target.host}:${target.port}`;
    const idle = purpose === 'forward' && !fresh ? pool.take(key) : null;
    if (idle) return idle;
    return dial(['127.0.0.1'], site, { timeoutMs: 60_000 }).then((stream) =>
      purpose === 'tunnel'
        ? tunnelEgress(stream, 'open', key)
        : pool.egress(stream, key, { escaper: 'open', form: 'origin', headers: '', peer: key }),
    );
  },
};

const started = new Map<string, Promise<{ proxy: TestProxy; world: World }>>();
function proxyFor(c: Case) {
  const key = JSON.stringify([c.server, c.users, c.inspect]);
  let both = started.get(key);
  if (both === undefined) {
    both = (async () => {
      const proxy = await startTestProxy({
        escaper,
        ...(c.server ? { server: c.server } : {}),
        ...(c.users ? { userGroup: users } : {}),
        ...(c.inspect ? { auditor } : {}),
      });
      const world = await World.start(c);
      closers.push(async () => {
        await proxy.close();
        await world.close();
      });
      return { proxy, world };
    })();
    started.set(key, both);
  }
  return both;
}

/** Runs a case over TCP. `model` is what happened in memory: it tells how long to wait, not what must be. */
async function run(c: Case, proxy: TestProxy, model: Outcome): Promise<Outcome> {
  const script = new OriginScript(c);
  const hears = new WeakMap<object, (received: string) => void>();
  const origin = await startRawOrigin({
    onConnection: (connection) => {
      const { socket } = connection;
      const hear = script.connection({
        send: (bytes) => void socket.write(bytes, 'latin1'),
        end: (how) => void (how === 'fin' ? socket.end() : socket.resetAndDestroy()),
      });
      hears.set(connection, hear);
      hear('');
    },
    onData: (connection) => hears.get(connection)?.(connection.received().toString('latin1')),
  });
  site = origin.port;
  pool = new UpstreamPool(poolConfig.parse({}), wheel);
  const before = proxy.decisions.length;
  const client = await RawClient.connect({ port: proxy.port });
  let gone = false;
  const reached = () => origin.connections.map((connection) => connection.received().toString('latin1'));
  try {
    for (const [i, step] of (typeof c.client === 'string' ? [c.client] : c.client).entries()) {
      if (step === FIN) client.end();
      else if (step === RST) {
        gone = true;
        client.reset();
        await until(() => proxy.sessions() === 0, { what: 'the reset is noticed' });
      } else await client.send(step);
      const mark = model.marks[i]!;
      await until(
        () =>
          (client.pending.length >= mark.client || (c.torn && !client.isOpen)) &&
          (c.partly || reached().join('').length >= mark.reached),
        { what: 'the bytes of a step' },
      );
    }
    if (model.end !== 'kept') await client.closed();
    await until(() => pool.size === model.pooled);
    const bytes = client.pending.toString('latin1');
    const end = gone || client.isOpen ? model.end : model.end === 'reset' ? await client.closed() : 'closed';
    client.socket.destroy();
    pool.close();
    await origin.close();
    await until(() => proxy.sessions() === 0 && proxy.binding.open.size === 0, { what: 'all sessions end' });
    const decisions = proxy.decisions.slice(before);
    return {
      ...model,
      client: bytes,
      end: end === 'end' ? 'closed' : end,
      reached: reached(),
      pooled: model.pooled,
      decisions: decisions.length,
      bytesOut: c.torn ? bytes.length : decisions.reduce((n, d) => n + d.bytes_out, 0),
      open: 0,
    };
  } finally {
    client.socket.destroy();
    pool.close();
    await origin.close();
  }
}

for (const topic of topics) {
  describe(`${topic.name}, on real sockets`, () => {
    for (const c of topic.cases.filter((each) => !each.apart)) {
      it(c.name, async () => {
        const { proxy, world } = await proxyFor(c);
        const model = await world.run(c);
        check(c, await run(c, proxy, model));
      });
    }
  });
}
