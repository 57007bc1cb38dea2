/** Workers that are only played: they do what the heads of the tenant acme say, at once. */
import type { TestContext } from 'node:test';
import { chosen } from '@arcus/control/chosen.ts';
import { type HeadBody, SCHEMA, type TenantStatus, type WorkerRecord } from '@arcus/control/release.ts';
import type { ConfigStore, WorkerLease } from '@arcus/control/store.ts';

interface Played {
  lease: WorkerLease;
  record: WorkerRecord;
  /** Refuses release 2. */
  refuses: boolean;
  /** Says nothing more. */
  dead: boolean;
}

/** One worker per id, with its labels. */
export async function fleet(t: TestContext, store: ConfigStore, ids: Record<string, Record<string, string>>) {
  const workers = new Map<string, Played>();
  const runs = new Map<string, number>();
  const stop = new AbortController();
  const enter = async (id: string, labels: Record<string, string>) => {
    const times = { started_at: '2026-01-01T00:00:00Z', reported_at: '2026-01-01T00:00:00Z' };
    const record = { schema: SCHEMA, id, labels, host: 'h', pid: 1, software: '0', admin: 'a:1' } as const;
    const whole: WorkerRecord = { ...record, ...times, tenants: 0, refused: 0 };
    // None is lost because this process stood still for a while: tests end the leases.
    workers.set(id, { lease: await store.leaseWorker(whole, 600), record: whole, refuses: false, dead: false });
  };
  for (const [id, labels] of Object.entries(ids)) await enter(id, labels);
  const act = async (id: string, worker: Played, head: HeadBody) => {
    const version = chosen(head, worker.record)?.version;
    const issues = [{ pointer: '/config/servers/0/listen', message: 'in use', code: 'address_in_use' }];
    let status: TenantStatus | null = version === undefined ? null : { applied: version };
    if (worker.refuses && version === 2) status = { applied: runs.get(id) ?? 0, refused: { version, issues } };
    await worker.lease.report(new Map([['acme', status]])).catch(() => {});
    // Who sees this may count on the store having the answer, too.
    runs.set(id, status?.applied ?? 0);
  };
  const done = (async () => {
    for await (const event of store.watchHeads(stop.signal)) {
      const heads = event.type === 'list' ? [...event.heads.values()] : event.type === 'put' ? [event.head] : [];
      for (const head of heads.filter((one) => one.tenant === 'acme')) {
        for (const [id, worker] of workers) if (!worker.dead) await act(id, worker, head);
      }
    }
  })();
  t.after(async () => {
    stop.abort();
    await done;
    for (const worker of workers.values()) if (!worker.dead) await worker.lease.close();
  });
  return {
    workers,
    runs: () => Object.fromEntries([...runs].sort()),
    /** One more comes, and does what the head says that is there. */
    async join(id: string, labels: Record<string, string>) {
      await enter(id, labels);
      await act(id, workers.get(id)!, (await store.getHead('acme'))!.head);
    },
    /** It says goodbye. */
    async leave(id: string) {
      const worker = workers.get(id)!;
      worker.dead = true;
      await worker.lease.close({ ...worker.record, left: true });
    },
    async kill(id: string) {
      const worker = workers.get(id)!;
      worker.dead = true;
      await worker.lease.close();
    },
  };
}
