import type { Head, Manifest, TenantStatus, WorkerRecord } from './release.ts';

/** Opaque, ordered by nothing but equality: what `putHead` compares. */
export type Revision = string;

export type HeadEvent =
  /** All heads at one moment: first of all, and again whenever deltas were lost (compaction, a store that went back). */
  | { type: 'list'; heads: ReadonlyMap<string, Head>; invalid: ReadonlyMap<string, string> }
  | { type: 'put'; tenant: string; head: Head }
  /** A head that does not parse: why. The tenant's last good release goes on. */
  | { type: 'invalid'; tenant: string; reason: string }
  | { type: 'delete'; tenant: string };

/** Somebody moved the head first. */
export class HeadConflict extends Error {
  constructor(tenant: string) {
    super(`head of ${tenant} was moved by somebody else`);
    this.name = 'HeadConflict';
  }
}

/** The store cannot be reached or refused to answer; the same call may succeed later. */
export class StoreUnavailable extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'StoreUnavailable';
  }
}

/** The store refused who we are: wrong password, no permission, a certificate that does not fit. */
export class StoreRefused extends StoreUnavailable {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'StoreRefused';
  }
}

/** A value in the store is not what its key promises (wrong hash, unknown field, newer schema). */
export class StoreCorrupt extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StoreCorrupt';
  }
}

/** A worker's presence: its record and its statuses, kept alive until closed or until its process dies. */
export interface WorkerLease {
  /**
   * Replaces the record. Calls may overlap: the newest wins. As `report`, rejects with StoreUnavailable when it can't
   * be said now; it is said by itself later.
   */
  update(record: WorkerRecord): Promise<void>;
  /**
   * Says what the worker runs of some tenants; null takes a status back. Newest wins. What was said is said again
   * by itself when the lease was lost (store down, frozen process) and is taken anew.
   */
  report(statuses: ReadonlyMap<string, TenantStatus | null>): Promise<void>;
  /**
   * Removes the record and all statuses. With `last`, that record is said instead and stays until the lease runs out by
   * itself, so that nobody takes a worker that left for one that was lost.
   */
  close(last?: WorkerRecord): Promise<void>;
}

/** A head that is there and makes no sense. Whoever knows the right one may replace it: `putHead` with `revision`. */
export class HeadInvalid extends StoreCorrupt {
  readonly revision: Revision;
  constructor(reason: string, revision: Revision) {
    super(reason);
    this.name = 'HeadInvalid';
    this.revision = revision;
  }
}

/** A release that differs from the one before in little, and the head that names it. */
export interface Publication {
  readonly head: Head;
  readonly manifest: Manifest;
  /** Bodies of the blobs that the release before did not have. */
  readonly blobs: ReadonlyMap<string, Uint8Array>;
  /** Of the tenant's head now. */
  readonly expected: Revision;
}

/**
 * Where releases are published to workers. Every kind passes test/contract/config-store.test.ts.
 * All calls fail with StoreUnavailable, or StoreCorrupt for a value that breaks its promise; they have a deadline.
 */
export interface ConfigStore {
  readonly kind: string;
  /** Stores an immutable blob under its SHA-256; storing it again is nothing. Fails when hash and body disagree. */
  putBlob(sha256: string, body: Uint8Array): Promise<void>;
  /** The bodies, hash checked; a missing one is StoreCorrupt. */
  getBlobs(sha256: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>>;
  /** Which of these are not there; bodies are not looked at. */
  missingBlobs(sha256: readonly string[]): Promise<string[]>;
  /** Immutable: storing the same again is nothing, storing another under the same version is StoreCorrupt. */
  putManifest(manifest: Manifest): Promise<void>;
  getManifest(tenant: string, version: number): Promise<Manifest | null>;
  /** Throws HeadInvalid when the head there makes no sense. */
  getHead(tenant: string): Promise<{ head: Head; revision: Revision } | null>;
  /** Compare-and-set: `expected` is the revision seen, or null when there must be none. HeadConflict otherwise. */
  putHead(tenant: string, head: Head, expected: Revision | null): Promise<Revision>;
  deleteHead(tenant: string, expected: Revision): Promise<void>;
  /**
   * All of a publication in one step, for stores that can. Null, and then nothing was done, unless the head is still
   * the expected one, the blobs that are not in `blobs` are there, and it is not too large: then step by step.
   */
  publish?(publication: Publication): Promise<Revision | null>;
  /**
   * A list, then every change, in order per tenant, none lost, none twice. Goes on by itself through every outage;
   * ends only by `signal`.
   */
  watchHeads(signal: AbortSignal): AsyncIterable<HeadEvent>;
  /**
   * Puts the record under a lease of `ttlSeconds`, renewed until closed. Resolves after the first attempt: with the
   * store away the lease goes on trying by itself. A status that the store does not take is told to `refused`, once; it
   * is said again when it changes, and holds back no other.
   */
  leaseWorker(
    record: WorkerRecord,
    ttlSeconds: number,
    refused?: (tenant: string, reason: string) => void,
  ): Promise<WorkerLease>;
  listWorkers(): Promise<WorkerRecord[]>;
  /** Worker id -> its answer for this tenant. Only of workers whose lease lives. */
  listStatus(tenant: string): Promise<ReadonlyMap<string, TenantStatus>>;
  /** Deletes immutable things that nobody needs any more. */
  deleteBlobs(sha256: readonly string[]): Promise<void>;
  deleteManifests(tenant: string, versions: readonly number[]): Promise<void>;
  /** Resolves when the store answers. */
  ping(): Promise<void>;
  close(): Promise<void>;
}
