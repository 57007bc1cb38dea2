/**
 * Tells the store who this worker is and what it runs. Nobody waits for it: answers are gathered for a few ms, sent
 * together, and sent again until the store has them.
 */
import { fault } from '@arcus/control/faults.ts';
import type { TenantStatus, WorkerRecord } from '@arcus/control/release.ts';
import type { ConfigStore, WorkerLease } from '@arcus/control/store.ts';
import type { Logger } from 'pino';
import { backoff } from './lanes.ts';

/** After this long without a sign of life a worker counts as lost. */
const LEASE_SECONDS = 8;
const GATHER_MS = 3;
const RECORD_MS = 5_000;

export interface ReporterOptions {
  readonly store: ConfigStore;
  readonly log: Logger;
  /** What the worker is now. */
  readonly record: () => WorkerRecord;
  /** The store answered. */
  readonly onHeard: () => void;
}

export class Reporter {
  readonly #options: ReporterOptions;
  #pending = new Map<string, TenantStatus | null>();
  #lease: WorkerLease | null = null;
  #timer: NodeJS.Timeout | undefined;
  readonly #recordTimer: NodeJS.Timeout;
  #sending = false;
  #failures = 0;
  #said = '';
  #saidAt = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(options: ReporterOptions) {
    this.#options = options;
    this.#recordTimer = setInterval(() => this.#schedule(GATHER_MS), RECORD_MS);
    this.#schedule(0);
  }

  /** Did the store answer the last time? */
  get healthy(): boolean {
    return this.#failures === 0;
  }

  /** The newest answer for a tenant; null takes it back. */
  set(tenant: string, status: TenantStatus | null): void {
    this.#pending.set(tenant, status);
    this.#schedule(GATHER_MS);
  }

  /** Says goodbye: the worker is known to be gone at once, and not to be lost. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#recordTimer);
    clearTimeout(this.#timer);
    await this.#leave();
  }

  async #leave(): Promise<void> {
    await this.#lease?.close({ ...this.#options.record(), left: true }).catch(() => {});
  }

  #schedule(ms: number): void {
    if (this.#closed || this.#sending || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#send();
    }, ms);
  }

  async #send(): Promise<void> {
    this.#sending = true;
    const batch = this.#pending;
    this.#pending = new Map();
    let retry = 0;
    try {
      const record = this.#options.record();
      this.#lease ??= await this.#options.store.leaseWorker(record, LEASE_SECONDS, (tenant, reason) =>
        this.#options.log.warn({ tenant, reason }, 'the store does not take the answer for a tenant'),
      );
      const lease = this.#lease;
      if (this.#closed) {
        await this.#leave();
        return;
      }
      const { reported_at: _, store_seen_at: _1, ...facts } = record;
      const said = JSON.stringify(facts);
      if (said !== this.#said || performance.now() - this.#saidAt >= RECORD_MS / 2) {
        // Also when nothing changed: it says how old the worker's view of the store is.
        await lease.update(record);
        this.#said = said;
        this.#saidAt = performance.now();
      }
      if (batch.size > 0) fault('apply.before-ack');
      if (batch.size > 0) await lease.report(batch);
      this.#options.onHeard();
      if (this.#failures > 0) this.#options.log.info('the store takes reports again');
      this.#failures = 0;
    } catch (error) {
      // What was said since is newer than what failed.
      for (const [tenant, status] of batch) if (!this.#pending.has(tenant)) this.#pending.set(tenant, status);
      if (this.#failures === 0) this.#options.log.warn({ err: error }, 'the store takes no reports; traffic goes on');
      retry = backoff(this.#failures++, 250, 5_000);
    }
    this.#sending = false;
    if (retry > 0 || this.#pending.size > 0) this.#schedule(retry || GATHER_MS);
  }
}
