import type { Graph } from './compile.ts';

/** The graph that each tenant runs now. A tenant with none is denied. */
export class Live {
  readonly #graphs = new Map<string, Graph>();

  get(tenant: string): Graph | undefined {
    return this.#graphs.get(tenant);
  }

  /** Sets the tenant's graph in one step and answers the one it replaces; `undefined` removes the tenant. */
  swap(tenant: string, graph: Graph | undefined): Graph | undefined {
    const old = this.#graphs.get(tenant);
    if (graph) this.#graphs.set(tenant, graph);
    else this.#graphs.delete(tenant);
    return old;
  }

  values(): Iterable<Graph> {
    return this.#graphs.values();
  }
}
