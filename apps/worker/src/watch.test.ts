import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ConfigStore, HeadEvent } from '@arcus/control/store.ts';
import { testHead } from '@arcus/testkit/keys.ts';
import { until } from '@arcus/testkit/until.ts';
import pino from 'pino';
import { watch } from './watch.ts';

const head = testHead(1);
const list = (...tenants: string[]): HeadEvent => ({
  type: 'list',
  heads: new Map(tenants.map((tenant) => [tenant, head])),
  invalid: new Map(),
});
const gone = (tenant: string): HeadEvent => ({ type: 'delete', tenant });
const put = (tenant: string): HeadEvent => ({ type: 'put', tenant, head });

/** What was ordered and logged after these events. */
async function follow(t: TestContext, events: HeadEvent[], served?: (tenant: string) => boolean) {
  const orders: string[] = [];
  const lines: { missing?: number; tenant?: string }[] = [];
  const log = pino({ level: 'warn', base: null }, { write: (line) => void lines.push(JSON.parse(line)) });
  const stop = new AbortController();
  let seen = 0;
  async function* watchHeads(signal: AbortSignal) {
    for (const event of events) yield event;
    seen = events.length;
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  }
  const running = new Set<string>();
  const store = { watchHeads } as unknown as ConfigStore;
  const done = watch({
    ...{ store, log, signal: stop.signal, onListed: () => {}, onHeard: () => {} },
    orders: {
      want(tenant) {
        running.add(tenant);
        orders.push(tenant);
      },
      refuse: (tenant) => void orders.push(`!${tenant}`),
      tenants: () => running,
      ...(served && {
        gone(tenant) {
          orders.push(`-${tenant}`);
          return served(tenant);
        },
      }),
    },
  });
  t.after(() => {
    stop.abort();
    return done;
  });
  await until(() => seen === events.length);
  return { orders, lines };
}

test('a head that is gone is told once and orders nothing', async (t) => {
  const { orders, lines } = await follow(t, [list('a', 'b'), gone('a'), gone('a'), put('a'), gone('a')]);
  assert.deepEqual(orders, ['a', 'b', 'a']);
  assert.deepEqual(
    lines.map((line) => line.tenant),
    ['a', 'a'],
  );
});

test('a store that was wiped orders nothing, however many tenants it had', async (t) => {
  const many = Array.from({ length: 100 }, (_, i) => `t${i}`);
  const { orders, lines } = await follow(t, [list(...many), list(), ...many.map(gone)]);
  assert.deepEqual(orders, many);
  assert.deepEqual(
    lines.map((line) => line.missing),
    [100],
  );
  const deleted = await follow(t, [list(...many), ...many.map(gone)]);
  assert.equal(deleted.lines.length, 10);
});

test('a tenant that is not served is not missing when its head is gone, by a change or by a list', async (t) => {
  const bad: HeadEvent = { type: 'invalid', tenant: 'b', reason: 'no head' };
  const events = [list('a'), bad, put('c'), gone('b'), gone('a'), put('c'), list('d'), list('d')];
  const { orders, lines } = await follow(t, events, (tenant) => tenant === 'a');
  assert.deepEqual(orders, ['a', '!b', 'c', '-b', '-a', 'c', '-c', 'd', 'd']);
  assert.deepEqual(lines.map((line) => line.tenant).filter(Boolean), ['a']);
});
