import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import { tempDir } from '@arcus/testkit/temp.ts';
import { openStore } from '../open.ts';
import type { WorkerRecord } from '../release.ts';

const dir = tempDir('lease');
after(() => dir.close());

const record: WorkerRecord = {
  ...{ schema: 1, id: 'w', labels: {}, host: 'h', pid: 1, software: 'x', admin: 'a', tenants: 0, refused: 0 },
  ...{ started_at: '2026-01-01T00:00:00Z', reported_at: '2026-01-01T00:00:00Z' },
};

it('what a worker says after it was killed and started again stays, however often it is read meanwhile', async () => {
  const store = await openStore(`file:${dir.path}`);
  let reading = true;
  const reader = (async () => {
    while (reading) await store.listStatus('acme');
  })();
  try {
    for (let applied = 1; applied <= 300; applied++) {
      // The process before said no goodbye.
      const lease = await store.leaseWorker(record, 600);
      await lease.report(new Map([['acme', { applied }]]));
      assert.equal((await store.listStatus('acme')).get('w')?.applied, applied);
    }
  } finally {
    reading = false;
    await reader;
    await store.close();
  }
});

it('what the process before said is gone when it comes again and says nothing of it', async () => {
  const store = await openStore(`file:${dir.path}`);
  const first = await store.leaseWorker(record, 600);
  await first.report(new Map([['old', { applied: 1 }]]));
  assert.equal((await store.listStatus('old')).size, 1);
  await store.leaseWorker(record, 600);
  assert.equal((await store.listStatus('old')).size, 0);
  await store.close();
});
