import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type Head, SCHEMA } from '@arcus/control/release.ts';
import type { ConfigStore, HeadEvent } from '@arcus/control/store.ts';
import { until } from '@arcus/testkit/until.ts';
import pino from 'pino';
import { watch } from './watch.ts';

const log = pino({ level: 'silent' });
const head: Head = { schema: SCHEMA, stable: { version: 1, manifest: '0'.repeat(64) } };
const list = (...tenants: string[]): HeadEvent => ({
  type: 'list',
  heads: new Map(tenants.map((tenant) => [tenant, head])),
  invalid: new Map(),
});

/** What runs after these events. */
function follow(t: TestContext, events: HeadEvent[], holdMs: number) {
  const running = new Set<string>();
  const stop = new AbortController();
  let seen = 0;
  async function* watchHeads(signal: AbortSignal) {
    for (const event of events) yield event;
    seen = events.length;
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  }
  const orders = {
    want: (tenant: string) => void running.add(tenant),
    refuse: () => {},
    remove: (tenant: string) => void running.delete(tenant),
    tenants: () => running,
  };
  const store = { watchHeads } as unknown as ConfigStore;
  const done = watch({ store, orders, log, signal: stop.signal, holdMs, onListed: () => {}, onHeard: () => {} });
  t.after(() => {
    stop.abort();
    return done;
  });
  return { running, all: () => until(() => seen === events.length) };
}

test('a tenant that was deleted while the worker was cut off is gone with the next list', async (t) => {
  const { running, all } = follow(t, [list('a', 'b', 'c'), list('a', 'c')], 60_000);
  await all();
  assert.deepEqual([...running], ['a', 'c']);
});

test('a store that was wiped and is filled again stops no tenant', async (t) => {
  const events: HeadEvent[] = [list('a', 'b', 'c'), list(), { type: 'put', tenant: 'a', head }];
  const { running, all } = follow(t, [...events, { type: 'delete', tenant: 'b' }], 60_000);
  await all();
  assert.deepEqual([...running], ['a', 'c']);
});

test('what a wiped store does not bring back goes in the end', async (t) => {
  const { running } = follow(t, [list('a', 'b', 'c'), list(), { type: 'put', tenant: 'a', head }], 30);
  await until(() => running.size === 1);
  assert.deepEqual([...running], ['a']);
});
