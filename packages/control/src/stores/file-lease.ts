/**
 * Workers and what they say, as files. A worker's file is touched while it lives: its time of change is the heartbeat.
 * Its first line names the lease; statuses that name another lease are of a process that is gone.
 */
import { randomBytes } from 'node:crypto';
import { readdir, stat, utimes } from 'node:fs/promises';
import { z } from 'zod';
import { decode, encode } from '../codec.ts';
import { TenantStatus, WorkerRecord } from '../release.ts';
import { statusText } from '../status.ts';
import { StoreCorrupt, type WorkerLease } from '../store.ts';
import { codeOf, guarded, readOrNull, remove, seal, unseal, type Writer } from './file-io.ts';

/** Milliseconds after which the file of a dead worker is removed. */
const FORGET = 3_600_000;

const Entry = z.strictObject({ ttl: z.number().positive(), record: WorkerRecord });

interface Live {
  lease: string;
  record: WorkerRecord;
}

export interface FileLeases {
  lease(record: WorkerRecord, ttlSeconds: number): Promise<WorkerLease>;
  workers(): Promise<WorkerRecord[]>;
  statuses(tenant: string): Promise<ReadonlyMap<string, TenantStatus>>;
  close(): Promise<void>;
}

export function openFileLeases(root: string, writer: Writer): FileLeases {
  const workerFile = (id: string) => `${root}/workers/${id}`;
  const statusFile = (tenant: string, id: string) => `${root}/status/${tenant}/${id}`;
  const open = new Set<WorkerLease>();

  /** The worker, unless its heartbeat is too old. 'gone' when nobody will come back to this file. */
  const look = async (id: string): Promise<Live | 'silent' | 'gone'> => {
    const bytes = await readOrNull(workerFile(id));
    if (!bytes) return 'gone';
    try {
      const { word, body } = unseal(bytes, `worker ${id}`);
      const { ttl, record } = decode(Entry, body, `worker ${id}`);
      const age = Date.now() - (await stat(workerFile(id))).mtimeMs;
      if (age <= ttl * 1000) return { lease: word, record };
      if (age < FORGET + ttl * 1000) return 'silent';
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return 'gone';
      if (!(error instanceof StoreCorrupt)) throw error;
      return 'silent';
    }
    await remove(workerFile(id));
    return 'gone';
  };

  const list = async (folder: string): Promise<string[]> => {
    try {
      return await readdir(folder);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return [];
      throw error;
    }
  };

  const statusOf = async (tenant: string, id: string, live: Live): Promise<TenantStatus | null> => {
    const bytes = await readOrNull(statusFile(tenant, id));
    if (!bytes) return null;
    const { word, body } = unseal(bytes, `status of ${tenant} by ${id}`);
    // Of a process that is gone, or of one that came since `live` was read: whoever reads must not remove it.
    return word === live.lease ? decode(TenantStatus, body, `status of ${tenant} by ${id}`) : null;
  };

  return {
    async lease(first, ttlSeconds) {
      const id = first.id;
      const lease = randomBytes(8).toString('hex');
      const statuses = new Map<string, string>();
      let record = first;
      let closed = false;
      // One write after the other, so that the newest wins.
      let last: Promise<unknown> = Promise.resolve();
      const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
        const turn = last.then(() => guarded(work));
        last = turn.catch(() => {});
        return turn;
      };
      /** What could not be written, and is tried again with the next heartbeat. */
      let recordDirty = true;
      const dirty = new Set<string>();
      const say = async () => {
        if (closed) return;
        if (recordDirty) {
          await writer.replace(workerFile(id), seal(encode({ ttl: ttlSeconds, record }), lease));
          recordDirty = false;
        }
        for (const tenant of dirty) {
          const body = statuses.get(tenant);
          if (body === undefined) await remove(statusFile(tenant, id));
          else await writer.replace(statusFile(tenant, id), seal(body, lease));
          if (statuses.get(tenant) === body) dirty.delete(tenant);
        }
      };
      const beat = async () => {
        if (closed) return;
        const now = new Date();
        try {
          await utimes(workerFile(id), now, now);
        } catch (error) {
          if (codeOf(error) !== 'ENOENT') throw error;
          // Forgotten as dead, or the whole folder was wiped.
          recordDirty = true;
          for (const tenant of statuses.keys()) dirty.add(tenant);
        }
        await say();
      };
      const timer = setInterval(() => inTurn(beat).catch(() => {}), (ttlSeconds * 1000) / 3);
      timer.unref();
      await inTurn(say).catch(() => {});
      // What the process before left behind, when it could not say goodbye.
      await inTurn(async () => {
        for (const tenant of await list(`${root}/status`)) await remove(statusFile(tenant, id));
      }).catch(() => {});
      const handle: WorkerLease = {
        update(next) {
          record = next;
          recordDirty = true;
          return inTurn(say);
        },
        report(news) {
          for (const [tenant, status] of news) {
            const body = status && statusText(status);
            if ((statuses.get(tenant) ?? null) === body) continue;
            if (body === null) statuses.delete(tenant);
            else statuses.set(tenant, body);
            dirty.add(tenant);
          }
          return inTurn(say);
        },
        async close(last) {
          if (closed) return;
          clearInterval(timer);
          open.delete(handle);
          await inTurn(async () => {
            closed = true;
            const bytes = await readOrNull(workerFile(id));
            // A newer process of the same name lives there now.
            const holder = bytes && holderOf(bytes, id);
            if (holder !== null && holder !== lease) return;
            // Nobody touches it any more: it is too old when the time of the lease is over.
            if (last) await writer.replace(workerFile(id), seal(encode({ ttl: ttlSeconds, record: last }), lease));
            else await remove(workerFile(id));
            for (const tenant of statuses.keys()) await remove(statusFile(tenant, id));
          });
        },
      };
      open.add(handle);
      return handle;
    },
    async workers() {
      const records: WorkerRecord[] = [];
      for (const id of await list(`${root}/workers`)) {
        const live = await look(id);
        if (typeof live === 'object') records.push(live.record);
      }
      return records;
    },
    async statuses(tenant) {
      const found = new Map<string, TenantStatus>();
      for (const id of await list(`${root}/status/${tenant}`)) {
        const live = await look(id);
        if (live === 'gone') await remove(statusFile(tenant, id));
        if (typeof live !== 'object') continue;
        const status = await statusOf(tenant, id, live);
        if (status) found.set(id, status);
      }
      return found;
    },
    async close() {
      await Promise.allSettled([...open].map((lease) => lease.close()));
    },
  };
}

/** The lease that wrote a worker's file; null when it makes no sense. */
function holderOf(bytes: Buffer, id: string): string | null {
  try {
    return unseal(bytes, id).word;
  } catch (error) {
    if (!(error instanceof StoreCorrupt)) throw error;
    return null;
  }
}
