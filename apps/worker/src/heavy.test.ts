import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until } from '@arcus/testkit/until.ts';
import pino from 'pino';
import { latch } from './lanes.ts';
import { openFolder, publish, workerOn } from './testing.ts';

const HEAVY = 10;
const LIGHT = 30;
/** Compiling that many expressions takes a good part of a second, in a document that is no large one. */
const EXPRESSIONS = 3_000;

const policy = (rules: object[]) => ({ policies: [{ name: 'sites', type: 'url_filter', rules }] });
const light = policy([{ exact_match: 'site.example', action: 'block' }]);
const heavy = policy(
  Array.from({ length: EXPRESSIONS }, (_, i) => ({
    regex_match: `(^|\\.)x${i}[a-z0-9]{1,40}(a|b)+$`,
    action: 'block',
  })),
);

test('tenants whose releases take long to compile delay no other', async (t) => {
  const folder = tempDir('heavy');
  const store = await openFolder(join(folder.path, 'store'));
  const applied: string[] = [];
  const log = pino(
    { level: 'debug' },
    {
      write(line: string) {
        const { msg, tenant } = JSON.parse(line);
        if (msg === 'release applied') applied.push(tenant);
      },
    },
  );
  // The quick ones come when the slow ones are being compiled.
  const start = latch();
  let asked = 0;
  let loaded = 0;
  const held: typeof store = Object.assign(Object.create(store), {
    getManifest: async (tenant: string, version: number) => {
      asked++;
      if (tenant.startsWith('light')) await start.promise;
      return store.getManifest(tenant, version);
    },
    getBlobs: async (names: readonly string[]) => {
      const bodies = await store.getBlobs(names);
      loaded++;
      return bodies;
    },
  });
  for (let i = 0; i < HEAVY; i++) await publish(store, `heavy${i}`, 1, heavy);
  for (let i = 0; i < LIGHT; i++) await publish(store, `light${i}`, 1, light);
  const worker = await workerOn(held, folder.path, {}, log);
  t.after(async () => {
    start.open();
    await worker.close({ now: true });
    await store.close();
    folder.close();
  });
  await until(() => asked === HEAVY + LIGHT && loaded === HEAVY, { deadline: 300_000 });
  for (let i = 0; i < 50; i++) await turn();
  start.open();
  await worker.ready;
  assert.equal(applied.length, HEAVY + LIGHT);
  const last = applied.findLastIndex((tenant) => tenant.startsWith('light'));
  const before = applied.slice(0, last).filter((tenant) => tenant.startsWith('heavy'));
  assert.ok(before.length < HEAVY / 2, `${before.length} of ${HEAVY} slow ones came before the last quick one`);
});
