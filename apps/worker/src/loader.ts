/**
 * Releases from a store to documents. A part that some tenant runs already is neither fetched nor parsed again; what
 * no tenant runs any more is forgotten.
 */
import { loadRelease } from '@arcus/control/publish.ts';
import type { Manifest, ReleaseRef } from '@arcus/control/release.ts';
import type { PartCache } from '@arcus/control/sections.ts';
import type { ConfigStore } from '@arcus/control/store.ts';

/** What a release is loaded from: a config store, or a snapshot. */
export type ReleaseSource = Pick<ConfigStore, 'getManifest' | 'getBlobs'>;

export interface Release {
  readonly manifest: Manifest;
  readonly document: unknown;
  /** Bodies that were not known before, by SHA-256. */
  readonly fetched: ReadonlyMap<string, Uint8Array>;
  /** Size of the document as stored, bytes. */
  readonly bytes: number;
  /** The tenant runs it now: its parts stay at hand, those that only its last release had are let go. */
  keep(): void;
}

interface Part {
  readonly value: unknown;
  readonly bytes: number;
  /** How many tenants run it. */
  tenants: number;
}

/** The shared parts, and what one load adds to them and makes use of. */
class Load implements PartCache {
  readonly used = new Map<string, Part>();
  readonly fetched = new Map<string, Uint8Array>();
  readonly #shared: ReadonlyMap<string, Part>;

  constructor(shared: ReadonlyMap<string, Part>) {
    this.#shared = shared;
  }

  has(key: string): boolean {
    if (this.used.has(key)) return true;
    const part = this.#shared.get(key);
    if (part) this.used.set(key, part);
    return part !== undefined;
  }

  get(key: string): unknown {
    return this.has(key) ? this.used.get(key)!.value : undefined;
  }

  set(key: string, value: unknown): void {
    this.used.set(key, { value, bytes: this.fetched.get(key)?.length ?? 0, tenants: 0 });
  }
}

export class ReleaseLoader {
  readonly #parts = new Map<string, Part>();
  readonly #held = new Map<string, readonly string[]>();

  /** Throws StoreUnavailable, or StoreCorrupt when something is missing or is not what its name says. */
  async load(tenant: string, release: ReleaseRef, source: ReleaseSource): Promise<Release> {
    const load = new Load(this.#parts);
    const recording: ReleaseSource = {
      getManifest: (...key) => source.getManifest(...key),
      getBlobs: async (names) => {
        const bodies = await source.getBlobs(names);
        for (const [name, body] of bodies) load.fetched.set(name, body);
        return bodies;
      },
    };
    const { manifest, document } = await loadRelease(recording, tenant, release, load);
    // Also the shards of a list that was at hand as a whole: the next change may be in one of them.
    for (const section of manifest.sections) for (const name of section.blobs) load.has(name);
    let bytes = 0;
    for (const part of load.used.values()) bytes += part.bytes;
    return { manifest, document, fetched: load.fetched, bytes, keep: () => this.#keep(tenant, load.used) };
  }

  forget(tenant: string): void {
    this.#keep(tenant, new Map());
  }

  #keep(tenant: string, used: ReadonlyMap<string, Part>): void {
    for (const [key, part] of used) {
      const known = this.#parts.get(key);
      if (known) known.tenants++;
      else this.#parts.set(key, { ...part, tenants: 1 });
    }
    for (const key of this.#held.get(tenant) ?? []) {
      const part = this.#parts.get(key);
      if (part && --part.tenants === 0) this.#parts.delete(key);
    }
    if (used.size > 0) this.#held.set(tenant, [...used.keys()]);
    else this.#held.delete(tenant);
  }
}
