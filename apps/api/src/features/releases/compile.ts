import type { Sealer } from '@arcus/control/seal.ts';
import { type CompileDeps, compileSliced, type Graph } from '@arcus/gateway/compile.ts';
import { Limits } from '@arcus/gateway/limits.ts';
import type { Services } from '@arcus/gateway/services.ts';
import { Stats } from '@arcus/gateway/stats.ts';
import { Wheel } from '@arcus/gateway/wheel.ts';
import type { Document } from './document.ts';

/** The dry run: the same compile as the worker's, with services that nothing ever uses. */
export class DryRun {
  readonly #wheel = new Wheel();
  readonly #deps: CompileDeps;

  constructor(sealer: Sealer, now: () => number) {
    const services: Services = {
      now,
      wheel: this.#wheel,
      stats: new Stats(),
      limits: new Limits(now),
      record: () => {},
      worker: 'dry-run',
    };
    this.#deps = { services, unseal: (value, place) => sealer.unseal(value, place) };
  }

  /** Throws FaultError with everything that a worker would refuse. */
  compile(document: Document, version: number, previous: Graph | null): Promise<Graph> {
    return compileSliced(document.tenant, version, document.config, this.#deps, previous ?? undefined);
  }

  close(): void {
    this.#wheel.close();
  }
}
