/** docs/guides/etcd-access.md, run: what its roles let the management API and a worker do, and what they refuse. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { testApi } from '@arcus/api/testing.ts';
import { openStore } from '@arcus/control/open.ts';
import { SCHEMA, type WorkerRecord } from '@arcus/control/release.ts';
import { type ConfigStore, StoreRefused } from '@arcus/control/store.ts';
import { type EtcdServer, startEtcd } from '@arcus/testkit/etcd.ts';
import { testHead } from '@arcus/testkit/keys.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until } from '@arcus/testkit/until.ts';
import { proxyOn, workerOn } from '@arcus/worker/testing.ts';

const password = 'pass word';
const page = readFileSync(new URL('../../docs/guides/etcd-access.md', import.meta.url), 'utf8');

/** The page's commands for another worker, too. */
function commands(id: string): string[] {
  const blocks = [...page.matchAll(/^```sh\n(.*?)^```/gms)].map((match) => match[1]!);
  const all = blocks.flatMap((block) => block.split('\n')).filter((line) => line.startsWith('etcdctl '));
  return id === 'worker-1'
    ? all
    : all.filter((line) => line.includes('worker-1')).map((line) => line.replaceAll('worker-1', id));
}

/** What etcdctl does with a command, over the JSON gateway: it is not part of the server's package everywhere. */
async function run(etcd: EtcdServer, command: string): Promise<void> {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const words = command.split(' ').slice(1);
  const prefix = words.includes('--prefix');
  const [noun, verb, ...args] = words.filter((word) => word !== '--prefix');
  // `root` and its password are there from the start.
  if (args[0] === 'root' || `${noun} ${verb}` === 'auth enable') return;
  const [name, second, third] = args as [string, string, string];
  switch (`${noun} ${verb}`) {
    case 'role add':
      return etcd.call('auth/role/add', { name });
    case 'user add':
      return etcd.call('auth/user/add', { name, password });
    case 'user grant-role':
      return etcd.call('auth/user/grant', { user: name, role: second });
    case 'role grant-permission': {
      const end = prefix
        ? { range_end: base64(third.slice(0, -1) + String.fromCharCode(third.charCodeAt(third.length - 1) + 1)) }
        : {};
      return etcd.call('auth/role/grant', {
        name,
        perm: { permType: second.toUpperCase(), key: base64(third), ...end },
      });
    }
    default:
      return assert.fail(`unknown: ${command}`);
  }
}

describe('roles in etcd', () => {
  let etcd: EtcdServer;
  before(async () => {
    etcd = await startEtcd({ auth: { user: 'root', password } });
    for (const id of ['worker-1', 'worker-2']) for (const command of commands(id)) await run(etcd, command);
  });
  after(() => etcd?.close());

  const as = async (t: { after(fn: () => unknown): void }, user: string): Promise<ConfigStore> => {
    const store = await openStore(etcd.url, { user, password, deadline: 30_000 });
    t.after(() => store.close());
    return store;
  };

  const record = (id: string): WorkerRecord => ({
    schema: SCHEMA,
    id,
    labels: {},
    host: 'h',
    pid: 1,
    software: '0',
    started_at: '2026-01-01T00:00:00Z',
    reported_at: '2026-01-01T00:00:00Z',
    admin: '127.0.0.1:1',
    tenants: 0,
    refused: 0,
  });

  test('the api publishes, a worker loads, serves and reports', async (t) => {
    const dir = tempDir('roles');
    t.after(() => dir.close());
    const api = await testApi({ store: await as(t, 'arcus-api') });
    t.after(() => api.close());
    api.app.context.publisher.start(50);
    const secret = { ARCUS_SECRET_KEY: Buffer.alloc(32, 7).toString('base64') };
    const worker = await workerOn(await as(t, 'worker-1'), dir.path, { ARCUS_WORKER_ID: 'worker-1', ...secret });
    t.after(() => worker.close({ now: true }));
    const made = await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'Acme' } });
    assert.equal(made.status, 201);
    for (let version = 1; version <= 2; version++) {
      const body = proxyOn(await freePort());
      const put = await api.call('PUT', '/tenants/acme/config?wait=acked&timeout=60s', { body, match: '*' });
      assert.equal(put.status, 200);
    }
    const { summary } = (await api.call('GET', '/tenants/acme/config/status')).body;
    assert.equal(summary.applied, 1);
    assert.match(await (await worker.get('/health')).text(), /"status":\s*"healthy"/);
    assert.equal((await api.call('DELETE', '/tenants/acme', { match: '*' })).status, 204);
    await until(async () => (await api.store.listStatus('acme')).size === 0);
    assert.equal((await api.store.listWorkers())[0]?.id, 'worker-1');
  });

  test('a worker can write no head, manifest or blob', async (t) => {
    const [api, worker] = [await as(t, 'arcus-api'), await as(t, 'worker-1')];
    const revision = await api.putHead('mine', testHead(1), null);
    assert.equal((await worker.getHead('mine'))?.revision, revision);
    await assert.rejects(worker.putHead('mine', testHead(2), revision), StoreRefused);
    await assert.rejects(worker.putHead('new', testHead(1), null), StoreRefused);
    await assert.rejects(worker.deleteHead('mine', revision), StoreRefused);
    await assert.rejects(worker.deleteBlobs(['0'.repeat(64)]), StoreRefused);
    await assert.rejects(worker.deleteManifests('mine', [1]), StoreRefused);
    assert.equal((await api.getHead('mine'))?.revision, revision);
  });

  test('a worker can neither write nor end nor read what another one says', async (t) => {
    const [api, first, second] = [await as(t, 'arcus-api'), await as(t, 'worker-1'), await as(t, 'worker-2')];
    const lease = await first.leaseWorker(record('worker-1'), 600);
    await lease.report(new Map([['acme', { applied: 3 }]]));

    const forged = await second.leaseWorker(record('worker-1'), 600);
    await assert.rejects(forged.update({ ...record('worker-1'), tenants: 9 }), StoreRefused);
    await assert.rejects(forged.report(new Map([['acme', { applied: 9 }]])), StoreRefused);
    const { token } = await etcd.call('auth/authenticate', { name: 'worker-2', password });
    const key = Buffer.from('/arcus/v1/workers/worker-1').toString('base64');
    const { kvs } = await etcd.call('kv/range', { key });
    const revoked = await fetch(`http://127.0.0.1:${etcd.port}/v3/lease/revoke`, {
      method: 'POST',
      headers: { authorization: token },
      body: JSON.stringify({ ID: kvs[0].lease }),
    });
    assert.match(await revoked.text(), /permission denied/);
    await assert.rejects(second.listWorkers(), StoreRefused);

    assert.deepEqual(
      (await api.listWorkers()).find(({ id }) => id === 'worker-1'),
      record('worker-1'),
    );
    assert.deepEqual((await api.listStatus('acme')).get('worker-1'), { applied: 3 });
    const own = await second.leaseWorker(record('worker-2'), 600);
    await own.report(new Map([['acme', { applied: 4 }]]));
    assert.deepEqual((await api.listStatus('acme')).get('worker-2'), { applied: 4 });
    await Promise.all([lease.close(), own.close(), forged.close()]);
  });

  test('a worker whose name begins like another’s is not that one', async (t) => {
    const worker = await as(t, 'worker-1');
    const lease = await worker.leaseWorker(record('worker-10'), 600);
    await assert.rejects(lease.report(new Map([['acme', { applied: 9 }]])), StoreRefused);
    await assert.rejects(lease.update(record('worker-10')), StoreRefused);
    await lease.close();
  });
});
