/** Nonsense written straight into etcd, by somebody who may. */
import { mkdirSync, rmSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { ask, path } from '@arcus/cli/client.ts';
import { newKeys, testKeys } from '@arcus/testkit/keys.ts';
import { until } from '@arcus/testkit/until.ts';
import { check } from '../lib/checker.ts';
import type { Lab } from '../lib/lab.ts';
import type { Scenario } from '../scenario.ts';

const prefix = '/arcus/v1/';

export const garbage: Scenario = {
  name: 'garbage',
  title: 'blank, null, unknown, forged, replayed and 50 MB heads, manifests and blobs are written into etcd',
  members: 1,
  async run(lab, { long }) {
    const seen: string[] = [];
    const missed: string[] = [];
    const { tenant } = lab.places[0]!;
    for (let round = 0; round < (long ? 10 : 1); round++) {
      for (const [name, make] of Object.entries(heads)) {
        // Nobody puts the right head back meanwhile.
        await lab.api.stop();
        try {
          const value = await make(lab, tenant);
          await lab.etcd.put(`${prefix}heads/${tenant}`, value);
          const refused = await until(() => refusedBy(lab, tenant), { deadline: 120_000 }).catch(() => false);
          (refused ? seen : missed).push(name);
          await wait(50);
        } finally {
          lab.api.cont();
        }
        await until(() => acceptedBy(lab, tenant), { deadline: 120_000, what: `${name} is put right` });
      }
      await damagedManifests(lab, tenant);
      await damagedBlob(lab, tenant);
    }
    const verdict = await check(lab);
    for (const name of missed) verdict.faults.push(`no worker refused a head that was: ${name}`);
    return { ...verdict, hurts: seen.length + 8 * (long ? 10 : 1), note: `refused: ${[...new Set(seen)].join(', ')}` };
  },
};

const headNow = async (lab: Lab, tenant: string) => (await lab.store.getHead(tenant))!.head;

/** What is written in the place of the tenant's head. */
const heads: Record<string, (lab: Lab, tenant: string) => Promise<string | Uint8Array>> = {
  blank: async () => '',
  null: async () => 'null',
  'no JSON': async () => '{"schema":1,',
  'unknown field': async (lab, tenant) => JSON.stringify({ ...(await headNow(lab, tenant)), more: true }),
  'newer schema': async (lab, tenant) => JSON.stringify({ ...(await headNow(lab, tenant)), schema: 2 }),
  'no signature': async (lab, tenant) => {
    const { signature: _, ...body } = await headNow(lab, tenant);
    return JSON.stringify(body);
  },
  'wrong hash': async (lab, tenant) => {
    const head = await headNow(lab, tenant);
    return JSON.stringify({ ...head, stable: { ...head.stable, manifest: '0'.repeat(64) } });
  },
  'another key': async (lab, tenant) => {
    const { signature: _, ...body } = await headNow(lab, tenant);
    return JSON.stringify(newKeys().signer.sign({ ...body, seq: body.seq + 1 }));
  },
  'another tenant': async (lab) => JSON.stringify(await headNow(lab, lab.places[1]!.tenant)),
  'an older head': async (lab, tenant) => {
    const { signature: _, ...body } = await headNow(lab, tenant);
    return JSON.stringify(testKeys().signer.sign({ ...body, seq: body.seq - 1 }));
  },
  'a release that is not there': async (lab, tenant) => {
    const { signature: _, ...body } = await headNow(lab, tenant);
    const stable = { version: body.stable.version + 1000, manifest: '0'.repeat(64) };
    // Of the same number, or the right one would be the older one afterwards.
    return JSON.stringify(testKeys().signer.sign({ ...body, stable }));
  },
  '50 MB': async () => Buffer.alloc(50 * 1024 * 1024, ' '),
};

const statuses = async (lab: Lab, tenant: string) => [...(await lab.store.listStatus(tenant)).values()];
const refusedBy = async (lab: Lab, tenant: string) => {
  const all = await statuses(lab, tenant);
  return all.length > 0 && all.every((status) => status.refused !== undefined);
};
const acceptedBy = async (lab: Lab, tenant: string) => {
  const all = await statuses(lab, tenant);
  return all.length > 0 && all.every((status) => status.refused === undefined);
};

/** A part that all releases of a tenant have, damaged, and a worker that has nothing of its own. */
async function damagedBlob(lab: Lab, tenant: string): Promise<void> {
  const [place, other] = lab.places;
  const worker = lab.workers[0]!;
  const values = ['', 'null', '{"schema":2}', Buffer.alloc(50 * 1024 * 1024, 'x')];
  for (const value of values) {
    await lab.withoutWorker(worker, async () => {
      await lab.writer.stop();
      const { stable } = await headNow(lab, tenant);
      const manifest = (await lab.store.getManifest(tenant, stable.version))!;
      const [name] = manifest.sections.find((section) => section.path === '/tenant')!.blobs;
      await lab.etcd.put(`${prefix}blobs/${name}`, value);
      await worker.process.kill('SIGKILL');
      rmSync(worker.data, { recursive: true });
      mkdirSync(worker.data);
      await worker.process.start();
      const corrupt = async () => {
        const all = await statuses(lab, tenant);
        return all.length > 0 && all.every(({ refused }) => refused?.issues.some((i) => i.code === 'store_corrupt'));
      };
      await until(corrupt, { deadline: 120_000, what: 'the worker refuses a release whose blob is damaged' });
      await until(() => lab.clients.ask(worker, other!), { deadline: 120_000, what: 'the other tenant is served' });
      const served = await lab.clients.ask(worker, place!).catch(() => null);
      if (served !== null) throw new Error(`a release whose blob is damaged is served: write ${served}`);
      // The message of each release is the number of its write.
      const newest = `SELECT message FROM releases WHERE tenant_id = '${tenant}' ORDER BY version DESC LIMIT 1`;
      const n = (await lab.sql(newest))[0]![0];
      await ask(lab.connection, `${path('tenants', tenant)}/reload?message=${n}`, { method: 'POST' });
      await until(() => lab.clients.ask(worker, place!), { deadline: 120_000, what: 'a reload mends the blob' });
    });
    lab.writer.start(150);
  }
}

/** Manifests of releases that are still to come. */
async function damagedManifests(lab: Lab, tenant: string): Promise<void> {
  for (const value of ['', 'null', '{"schema":2}', Buffer.alloc(40 * 1024 * 1024, 'x')]) {
    const { stable } = await headNow(lab, tenant);
    for (const ahead of [3, 4]) await lab.etcd.put(`${prefix}manifests/${tenant}/${stable.version + ahead}`, value);
    const past = async () => (await headNow(lab, tenant)).stable.version > stable.version + 5;
    await until(past, { deadline: 120_000, what: 'releases get past a manifest that was there' });
  }
}
